import { EBUSY, EINVAL, ENODEV } from "../../uapi/errno.ts";
import { sysfsFile } from "../fs/sysfs.ts";
import type { FsFile } from "../fs/vfs.ts";
import type { PciCore, PciDev, PciDriver } from "./pci.ts";

const BUS = "/sys/bus/pci";
const NO_OVERRIDE = "(null)";

/**
 * The files by which an administrator decides which driver has a device, and `reset`: EINVAL for
 * anything but 1; EBUSY while the device waits for its heir (FACTS 10.6); then as {@link PciDev.tryReset}.
 */
export function makeDeviceFiles(core: PciCore, dev: PciDev): void {
  const { vfs, iommufd } = core.kernel;
  const reset = (text: string) =>
    text.trim() !== "1" ? -EINVAL : iommufd.waits(dev) ? -EBUSY : dev.tryReset();
  vfs.mkdirs(`${BUS}/devices/${dev.name}`).add("reset", sysfsFile({ store: reset }));
  vfs.mkdirs(`${BUS}/devices/${dev.name}`).add(
    "driver_override",
    sysfsFile({
      show: () => `${dev.override || NO_OVERRIDE}\n`,
      // Any name will do, of drivers that are not there yet too; an empty line takes it back.
      store(text) {
        dev.override = text.trim();
        return 0;
      },
    }),
  );
  vfs.mkdirs(BUS).add(
    "drivers_probe",
    naming(core, (found) => {
      core.probe(found);
      return 0;
    }),
  );
}

/** `bind` takes a device that the driver fits, `unbind` gives it up. ENODEV for any other. */
export function makeDriverFiles(core: PciCore, driver: PciDriver): void {
  const dir = core.kernel.vfs.mkdirs(`${BUS}/drivers/${driver.name}`);
  dir.add(
    "bind",
    naming(core, (dev) => core.fits(driver, dev) ? core.bind(driver, dev) : -ENODEV),
  );
  dir.add("unbind", naming(core, (dev) => core.unbind(driver, dev)));
}

/** A file that takes the address of a device, `0000:3b:00.0`. ENODEV: there is none there. */
function naming(core: PciCore, run: (dev: PciDev) => number): FsFile {
  return sysfsFile({
    store(text) {
      const dev = core.find(text.trim());
      return dev === undefined ? -ENODEV : run(dev);
    },
  });
}
