/** RLIMIT_MEMLOCK of a process unless it says otherwise: 8 MiB. */
export const DEFAULT_MEMLOCK = 8 * 1024 * 1024;

/** What all processes of a user share: pages it has locked (user_struct). */
export class User {
  /** Pages counted against RLIMIT_MEMLOCK. */
  lockedVm = 0;

  constructor(readonly uid: number) {}
}

/** The users of one boot, made when first seen. */
export class UserTable {
  readonly #users = new Map<number, User>();

  get(uid: number): User {
    let user = this.#users.get(uid);
    if (user === undefined) this.#users.set(uid, user = new User(uid));
    return user;
  }
}

/** Who a process is and what it may do. */
export class Credentials {
  readonly #dropped = new Set<number>();

  constructor(public user: User) {}

  /** Root has every capability it did not give up; others have none. */
  capable(capability: number): boolean {
    return this.user.uid === 0 && !this.#dropped.has(capability);
  }

  drop(capability: number): void {
    this.#dropped.add(capability);
  }
}
