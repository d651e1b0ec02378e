import { EBUSY, ENOENT } from "../../uapi/errno.ts";

/** Kinds of objects behind ids (FACTS 1.1). */
export const enum ObjectKind {
  any = 0,
  device = 1,
  hwptPaging = 2,
  hwptNested = 3,
  ioas = 4,
  access = 5,
  fault = 6,
}

/** Something with an id in an iommufd. */
export abstract class IommufdObject {
  id = 0;
  /** Long-term references; 1 = only the table's. DESTROY wants exactly that. */
  users = 1;
  abstract readonly kind: ObjectKind;
  /** The object leaves the table for good. */
  abstract destroy(): void;
}

/**
 * The ids of one open iommufd: lowest free id from 1, shared by all kinds. An id can be reserved
 * before its object is there: look-ups do not see it, allocation passes it by (xarray's zero entry).
 */
export class ObjectTable {
  #objects = new Map<number, IommufdObject | null>();
  #wanted = 0;

  get empty(): boolean {
    return this.#objects.size === 0;
  }

  /** Objects by ascending id. */
  get all(): IommufdObject[] {
    const live = [...this.#objects.values()].filter((o) => o !== null);
    return live.sort((a, b) => a.id - b.id);
  }

  /** The next object is to get this id, if it is free; 0: the lowest one again. */
  want(id: number): void {
    this.#wanted = id;
  }

  /** Enters an object at the lowest free id, or the one that is wanted. */
  add<T extends IommufdObject>(object: T): T {
    const wanted = this.#wanted;
    if (wanted !== 0 && !this.#objects.has(wanted)) return this.addAt(wanted, object);
    let id = 1;
    while (this.#objects.has(id)) id++;
    return this.addAt(id, object);
  }

  /** Enters an object at an id that was reserved, or is free. */
  addAt<T extends IommufdObject>(id: number, object: T): T {
    object.id = id;
    this.#objects.set(id, object);
    return object;
  }

  reserve(id: number): void {
    if (!this.#objects.has(id)) this.#objects.set(id, null);
  }

  /** The object of that id and kind (0: any kind); undefined is ENOENT. */
  get(id: number, kind: ObjectKind = ObjectKind.any): IommufdObject | undefined {
    const object = this.#objects.get(id);
    if (object === null || object === undefined) return undefined;
    return kind === ObjectKind.any || object.kind === kind ? object : undefined;
  }

  /** DESTROY: ENOENT; EBUSY while something refers to the object. */
  remove(id: number): number {
    const object = this.get(id);
    if (object === undefined) return -ENOENT;
    if (object.users > 1) return -EBUSY;
    this.#objects.delete(id);
    object.destroy();
    return 0;
  }

  /** Close of the file: whatever nothing refers to, again and again. What is left over leaked. */
  destroyAll(): IommufdObject[] {
    for (let progress = true; progress;) {
      progress = false;
      for (const object of this.all) {
        if (object.users === 1 && this.remove(object.id) === 0) progress = true;
      }
    }
    return this.all;
  }
}
