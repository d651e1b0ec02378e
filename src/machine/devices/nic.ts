import { assert } from "../../base/assert.ts";
import type { Chooser } from "../../base/choice.ts";
import type { EventQueue } from "../../base/event_queue.ts";
import { PAGE_SIZE } from "../../base/units.ts";
import * as N from "../../uapi/nic_regs.ts";
import { PCI_CLASS_NETWORK_ETHERNET } from "../../uapi/pci_regs.ts";
import type { Bus } from "../bus.ts";
import type { DmaPort } from "../dma_port.ts";
import { AtsPort } from "../pci/ats_port.ts";
import { PciFunction, type PciIdentity } from "../pci/function.ts";
import { fillPacket, streamOf } from "./nic_packet.ts";
import { PacketBuffer } from "./packet_buffer.ts";

/** Page requests a card can have open at once, and bytes of its packet memory. */
const PAGE_REQUESTS = 32, BUFFER_BYTES = 1024 * 1024;

export interface NicOptions {
  /** Nanoseconds between two packets on the wire, at least 1. */
  readonly interval: number;
  /** Length of each packet: 64..2048, a multiple of 4. */
  readonly packetBytes: number;
  readonly seed: number;
  /** Bits of its PASIDs; none unless told. */
  readonly pasidBits?: number;
  /** Its requests carry the source id of function 1 of its slot. */
  readonly aliased?: boolean;
  /** It asks for pages that are not there (ATS, PRI), and keeps packets meanwhile. */
  readonly pageRequests?: boolean;
}

/** Cards whose packets come by one queue, and the event that one has come. */
interface Cards {
  readonly cards: Nic[];
  readonly event: number;
}

const CARDS = new WeakMap<EventQueue, Cards>();

// What a card works in while it delivers a packet: it takes no time, so there is one for all.
const PACKET = new Uint32Array(N.RX_BUFFER_BYTES / 4);
const TAIL = new Uint32Array(N.RX_BUFFER_BYTES / 4);
const DESCRIPTOR = new Uint32Array(N.RX_DESC_BYTES / 4);

const PLAIN: PciIdentity = {
  vendor: N.NIC_VENDOR,
  device: N.NIC_DEVICE,
  classCode: PCI_CLASS_NETWORK_ETHERNET,
  bar0Size: N.NIC_BAR_SIZE,
  interruptPin: 1,
  msiVectors: 1,
};

/** Cards with nothing special share one. */
function identityOf({ aliased, pasidBits = 0, pageRequests }: NicOptions): PciIdentity {
  if (!aliased && pasidBits === 0 && !pageRequests) return PLAIN;
  const device = aliased ? N.NIC_DEVICE_ALIASED : N.NIC_DEVICE;
  return { ...PLAIN, device, pasidBits, pageRequests: pageRequests ? PAGE_REQUESTS : 0 };
}

/**
 * A network card that receives. Its traffic comes from outside the machine at a steady rate and
 * does not wait: whatever the card cannot deliver is gone, and the packets' sequence numbers,
 * which count on the wire, show the gap.
 *
 * A DMA that fails costs the packet; the card tries the same descriptor with the next one. A card with
 * page requests waits for a page that is not there: packets are kept in its memory until the answer.
 */
export class Nic extends PciFunction {
  /** Packets that came over the wire; the last one's sequence number. */
  arrived = 0;
  /** Packets that arrived while receive was off. */
  lostOnWire = 0;
  /** Packets dropped for want of a free descriptor. */
  starved = 0;
  /** Packets in guest memory with their descriptor written back. */
  delivered = 0;
  /** Packets lost to a DMA that failed. */
  dmaErrors = 0;
  /** Of a card with page requests: packets on their way to the guest, one more waits for a page. */
  readonly #buffer: PacketBuffer | undefined;
  #waiting = false;
  /** Its place among the cards of its queue. */
  readonly #place: number;
  readonly #event: number;
  readonly #interval: number;
  readonly #stream: number;
  readonly #words: number;
  #busy = false;
  #rctl = 0;
  #rdbal = 0;
  #rdbah = 0;
  #rdlen = 0;
  #rdh = 0;
  #rdt = 0;
  #rxpasid = 0;
  #mpc = 0;
  #gprc = 0;

  /** `bar0`: physical address of the registers. The first packet comes within one interval. */
  constructor(
    name: string,
    port: DmaPort,
    systemBus: Bus,
    bar0: number,
    chooser: Chooser,
    options: NicOptions,
  ) {
    super(name, identityOf(options), port, systemBus, bar0);
    if (options.aliased) port.requester |= 1;
    const { interval, packetBytes, seed } = options;
    assert(Number.isInteger(interval) && interval >= 1, `${name}: interval ${interval} ns`);
    assert(
      packetBytes >= 64 && packetBytes <= N.RX_BUFFER_BYTES && packetBytes % 4 === 0,
      `${name}: packets of ${packetBytes} bytes`,
    );
    this.#interval = interval;
    this.#words = packetBytes / 4;
    if (options.pageRequests) this.#buffer = new PacketBuffer(BUFFER_BYTES / packetBytes);
    this.#stream = streamOf(seed, port.fn);
    const { cards, event } = Nic.#cardsOf(port.queue);
    this.#event = event;
    this.#place = cards.push(this) - 1;
    port.queue.after(chooser.pick(`nic:${name}:phase`, interval - 1), event, this.#place);
  }

  /** One event for all cards of a queue: what tells them apart is its argument. */
  static #cardsOf(queue: EventQueue): Cards {
    let made = CARDS.get(queue);
    if (made === undefined) {
      const cards: Nic[] = [];
      made = { cards, event: queue.register((place) => cards[place].#arrive()) };
      CARDS.set(queue, made);
    }
    return made;
  }

  override read32(offset: number): number {
    switch (offset) {
      case N.E1000_STATUS:
        return N.E1000_STATUS_LU | N.E1000_STATUS_FD;
      case N.E1000_RCTL:
        return this.#rctl;
      case N.E1000_RDBAL:
        return this.#rdbal;
      case N.E1000_RDBAH:
        return this.#rdbah;
      case N.E1000_RDLEN:
        return this.#rdlen;
      case N.E1000_RDH:
        return this.#rdh;
      case N.E1000_RDT:
        return this.#rdt;
      case N.NIC_RXPASID:
        return this.#rxpasid;
      case N.E1000_MPC: {
        const missed = this.#mpc;
        this.#mpc = 0;
        return missed;
      }
      case N.E1000_GPRC: {
        const received = this.#gprc;
        this.#gprc = 0;
        return received;
      }
      default:
        return 0;
    }
  }

  override write32(offset: number, value: number): void {
    switch (offset) {
      case N.E1000_CTRL:
        if (value & N.E1000_CTRL_RST) this.resetModel();
        return;
      case N.E1000_RCTL:
        this.#rctl = value;
        break;
      case N.E1000_RDBAL:
        this.#rdbal = (value & ~0xf) >>> 0;
        break;
      case N.E1000_RDBAH:
        this.#rdbah = value >>> 0;
        break;
      case N.E1000_RDLEN:
        this.#rdlen = value & 0xfff80;
        break;
      case N.E1000_RDH:
        this.#rdh = value & 0xffff;
        break;
      case N.E1000_RDT:
        this.#rdt = value & 0xffff;
        break;
      case N.NIC_RXPASID:
        this.#rxpasid = (value & (N.NIC_RXPASID_VALID | N.NIC_RXPASID_MASK)) >>> 0;
        break;
      default:
        return;
    }
    this.#tellWork();
  }

  /** The wire goes on; only the card's registers start over. */
  protected override resetModel(): void {
    this.#rctl =
      this.#rdbal =
      this.#rdbah =
      this.#rdlen =
      this.#rdh =
      this.#rdt =
      this.#rxpasid =
        0;
    this.#mpc = this.#gprc = 0;
    this.#buffer?.clear();
    this.#waiting = false;
    this.#tellWork();
  }

  get #enabled(): boolean {
    return (this.#rctl & N.E1000_RCTL_EN) !== 0;
  }

  #tellWork(): void {
    const busy = this.#enabled && this.#rdlen !== 0 && this.#rdh !== this.#rdt;
    if (busy === this.#busy) return;
    this.#busy = busy;
    this.port.observer.work(this.port.fn, busy);
  }

  #arrive(): void {
    this.port.queue.after(this.#interval, this.#event, this.#place);
    this.arrived++;
    if (!this.#enabled) this.lostOnWire++;
    else if (this.#buffer !== undefined) this.#keep(this.#buffer);
    else if (this.#full) this.#drop();
    else this.#finish(this.#receive(this.arrived));
  }

  /** No descriptor is left for the card. */
  get #full(): boolean {
    return this.#rdlen === 0 || this.#rdh === this.#rdt;
  }

  #drop(): void {
    this.starved++;
    this.#mpc = (this.#mpc + 1) >>> 0;
    this.port.observer.starved(this.port.fn);
  }

  #finish(received: boolean): void {
    if (!received) {
      this.dmaErrors++;
      return;
    }
    this.delivered++;
    this.#gprc = (this.#gprc + 1) >>> 0;
    this.#rdh = (this.#rdh + 1) * N.RX_DESC_BYTES >= this.#rdlen ? 0 : this.#rdh + 1;
    this.#tellWork();
  }

  #keep(buffer: PacketBuffer): void {
    if (!buffer.push(this.arrived)) this.#drop();
    this.#drain(buffer);
  }

  /** Delivers what was kept, until a page is not there or the ring is full. */
  #drain(buffer: PacketBuffer): void {
    while (!this.#waiting && !buffer.empty && !this.#full) {
      const received = this.#receive(buffer.oldest);
      if (!received && this.#awaitPage(buffer)) return;
      buffer.shift();
      this.#finish(received);
    }
  }

  /** True when the DMA that did not come through only needs a page, which was asked for. */
  #awaitPage(buffer: PacketBuffer): boolean {
    const { port } = this;
    if (!(port instanceof AtsPort) || port.missing === undefined) return false;
    this.#waiting = port.ask([port.missing], (granted) => {
      this.#waiting = false;
      if (!granted) {
        buffer.shift();
        this.#finish(false);
      }
      this.#drain(buffer);
    });
    return this.#waiting;
  }

  /** Delivers a packet. False when a DMA failed. */
  #receive(sequence: number): boolean {
    const tagged = this.pasidEnabled && (this.#rxpasid & N.NIC_RXPASID_VALID) !== 0;
    this.port.pasid = tagged ? this.#rxpasid & N.NIC_RXPASID_MASK : -1;
    const descriptor = DESCRIPTOR;
    const at = this.#rdbal + this.#rdh * N.RX_DESC_BYTES;
    const hi = this.#rdbah + (at >= 4294967296 ? 1 : 0), lo = at >>> 0;
    if (!this.port.read(hi, lo, descriptor, 4)) return false;
    fillPacket(PACKET, this.#words, this.#stream, sequence);
    // Buffers are word aligned here; a real card takes any byte.
    if (!this.#writeBuffer(descriptor[1], (descriptor[0] & ~3) >>> 0)) return false;
    descriptor[2] = this.#words * 4;
    descriptor[3] = N.RXD_STAT_DD | N.RXD_STAT_EOP;
    return this.port.write(hi, lo, descriptor, 4);
  }

  #writeBuffer(hi: number, lo: number): boolean {
    const words = this.#words, packet = PACKET;
    const first = Math.min(words, (PAGE_SIZE - (lo & 0xfff)) >>> 2);
    if (!this.port.write(hi, lo, packet, first)) return false;
    if (first === words) return true;
    const tail = TAIL;
    for (let i = first; i < words; i++) tail[i - first] = packet[i];
    const next = lo + first * 4;
    return this.port.write(hi + (next >= 4294967296 ? 1 : 0), next >>> 0, tail, words - first);
  }
}
