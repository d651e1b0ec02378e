import { PCI_CLASS_SERIAL_IPMI, PCI_COMMAND, PCI_COMMAND_MASTER } from "../../uapi/pci_regs.ts";
import type { Bus } from "../bus.ts";
import type { DmaPort } from "../dma_port.ts";
import { PciFunction } from "../pci/function.ts";

export interface BmcOptions {
  /** Nanoseconds between two heartbeats. */
  readonly interval: number;
  /** Physical address of the memory firmware set aside for it. */
  readonly base: number;
}

const IDENTITY = {
  vendor: 0x102b,
  device: 0x0538,
  classCode: PCI_CLASS_SERIAL_IPMI,
  bar0Size: 0x1000,
};
/** Words of a heartbeat. */
const WORDS = 4;

/**
 * A management controller that firmware has put to work before any kernel ran: it writes its
 * heartbeat into memory set aside for it, at the physical address it was told, whoever is in charge
 * of the machine. It has no registers a driver could use.
 */
export class Bmc extends PciFunction {
  /** Heartbeats that got there. */
  beats = 0;
  readonly #event: number;
  readonly #heartbeat = new Uint32Array(WORDS);

  constructor(
    name: string,
    port: DmaPort,
    systemBus: Bus,
    bar0: number,
    readonly options: BmcOptions,
  ) {
    super(name, IDENTITY, port, systemBus, bar0);
    this.#event = port.queue.register(() => this.#beat());
    this.configWrite(PCI_COMMAND, 2, PCI_COMMAND_MASTER);
    port.observer.work(port.fn, true);
    port.queue.after(options.interval, this.#event);
  }

  override read32(_offset: number): number {
    return 0;
  }

  override write32(_offset: number, _value: number): void {}

  protected override resetModel(): void {}

  #beat(): void {
    const { base, interval } = this.options;
    this.#heartbeat[0] = this.beats + 1;
    const high = Math.floor(base / 4294967296);
    if (this.port.write(high, base >>> 0, this.#heartbeat, WORDS)) this.beats++;
    this.port.queue.after(interval, this.#event);
  }
}
