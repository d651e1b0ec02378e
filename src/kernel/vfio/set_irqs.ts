import * as E from "../../uapi/errno.ts";
import * as R from "../../uapi/pci_regs.ts";
import * as U from "../../uapi/vfio.ts";
import type { PciDev } from "../pci/pci.ts";
import type { Task } from "../process/task.ts";
import type { IrqData, VfioIrqs } from "./irqs.ts";
import { take } from "./request.ts";
import type { VfioPciDevice } from "./vfio_pci.ts";

/** How many interrupts of a kind the device has, by what its configuration space says. */
function countOf(dev: PciDev, index: number): number {
  const msi = dev.capability(R.PCI_CAP_ID_MSI), msix = dev.capability(R.PCI_CAP_ID_MSIX);
  switch (index) {
    case U.VFIO_PCI_INTX_IRQ_INDEX:
      return dev.read(R.PCI_INTERRUPT_PIN, 1) === 0 ? 0 : 1;
    case U.VFIO_PCI_MSI_IRQ_INDEX:
      return msi === 0
        ? 0
        : 1 << ((dev.read(msi + R.PCI_MSI_FLAGS, 2) & R.PCI_MSI_FLAGS_QMASK) >> 1);
    case U.VFIO_PCI_MSIX_IRQ_INDEX:
      return msix === 0 ? 0 : (dev.read(msix + R.PCI_MSI_FLAGS, 2) & R.PCI_MSIX_FLAGS_QSIZE) + 1;
    case U.VFIO_PCI_ERR_IRQ_INDEX:
      return dev.capability(R.PCI_CAP_ID_EXP) === 0 ? 0 : 1;
    default:
      return index === U.VFIO_PCI_REQ_IRQ_INDEX ? 1 : 0;
  }
}

/** VFIO_DEVICE_GET_IRQ_INFO. EINVAL for a smaller argsz, or ERR of a device without PCI Express. */
export function irqInfo(vdev: VfioPciDevice, payload: Uint8Array): number {
  const cmd = take(U.vfio_irq_info, payload, U.vfio_irq_info.size);
  if (typeof cmd === "number") return cmd;
  if (cmd.index >= U.VFIO_PCI_NUM_IRQS) return -E.EINVAL;
  cmd.count = countOf(vdev.dev, cmd.index);
  if (cmd.index === U.VFIO_PCI_ERR_IRQ_INDEX && cmd.count === 0) return -E.EINVAL;
  cmd.flags = U.VFIO_IRQ_INFO_EVENTFD |
    (cmd.index === U.VFIO_PCI_INTX_IRQ_INDEX
      ? U.VFIO_IRQ_INFO_MASKABLE | U.VFIO_IRQ_INFO_AUTOMASKED
      : U.VFIO_IRQ_INFO_NORESIZE);
  U.vfio_irq_info.update(payload, cmd);
  return 0;
}

/**
 * VFIO_DEVICE_SET_IRQS. First what is asked: EINVAL for a smaller argsz, an index or interrupts that
 * are not there, an unknown flag, no kind of data or two, or less data than interrupts. Then what is
 * to be done: ENOTTY where the kind of interrupt has no such action.
 */
export function setIrqs(vdev: VfioPciDevice, task: Task, payload: Uint8Array): number {
  const head = U.vfio_irq_set.size;
  const cmd = take(U.vfio_irq_set, payload, head);
  if (typeof cmd === "number") return cmd;
  const known = U.VFIO_IRQ_SET_DATA_TYPE_MASK | U.VFIO_IRQ_SET_ACTION_TYPE_MASK;
  if (cmd.index >= U.VFIO_PCI_NUM_IRQS || (cmd.flags & ~known) !== 0) return -E.EINVAL;
  const there = countOf(vdev.dev, cmd.index);
  if (cmd.start >= there || cmd.start + cmd.count > there) return -E.EINVAL;
  const kind = KINDS.get(cmd.flags & U.VFIO_IRQ_SET_DATA_TYPE_MASK);
  if (kind === undefined) return -E.EINVAL;
  const bytes = cmd.count * (kind === "none" ? 0 : kind === "bool" ? 1 : 4);
  if (cmd.argsz - head < bytes) return -E.EINVAL;
  if (payload.length - head < bytes) return -E.EFAULT;
  const view = new DataView(payload.buffer, payload.byteOffset + head);
  const values = Array.from(
    { length: bytes === 0 ? 0 : cmd.count },
    (_, i) => kind === "bool" ? view.getUint8(i) : view.getInt32(4 * i, true),
  );
  const action = cmd.flags & U.VFIO_IRQ_SET_ACTION_TYPE_MASK;
  return act(vdev.irqs, task, action, cmd.index, cmd.start, { kind, count: cmd.count, values });
}

const KINDS: ReadonlyMap<number, IrqData["kind"]> = new Map([
  [U.VFIO_IRQ_SET_DATA_NONE, "none"],
  [U.VFIO_IRQ_SET_DATA_BOOL, "bool"],
  [U.VFIO_IRQ_SET_DATA_EVENTFD, "eventfd"],
]);

function act(
  irqs: VfioIrqs,
  task: Task,
  action: number,
  index: number,
  start: number,
  data: IrqData,
): number {
  if (action === U.VFIO_IRQ_SET_ACTION_TRIGGER) {
    switch (index) {
      case U.VFIO_PCI_INTX_IRQ_INDEX:
        return irqs.triggerIntx(task, start, data);
      case U.VFIO_PCI_MSI_IRQ_INDEX:
        return irqs.triggerMsi(task, start, data);
      case U.VFIO_PCI_ERR_IRQ_INDEX:
        return irqs.triggerEvent(task, "err", start, data);
      case U.VFIO_PCI_REQ_IRQ_INDEX:
        return irqs.triggerEvent(task, "req", start, data);
    }
  }
  const mask = action === U.VFIO_IRQ_SET_ACTION_MASK;
  const masks = mask || action === U.VFIO_IRQ_SET_ACTION_UNMASK;
  if (!masks || index !== U.VFIO_PCI_INTX_IRQ_INDEX) return -E.ENOTTY;
  return irqs.setIntxMask(task, mask, start, data);
}
