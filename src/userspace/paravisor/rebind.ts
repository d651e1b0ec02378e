import { O_RDWR, O_WRONLY, type Sys } from "../../uapi/sys.ts";

const BUS = "/sys/bus/pci";
const VFIO = "vfio-pci";

function echo(sys: Sys, path: string, text: string): number {
  const fd = sys.open(path, O_WRONLY);
  if (fd < 0) return fd;
  const rc = sys.write(fd, new TextEncoder().encode(text));
  sys.close(fd);
  return rc;
}

/**
 * What an administrator does before a user driver starts: the device is to be VFIO's, so whatever
 * driver has it gives it up, and VFIO takes it. One that VFIO has already is left alone.
 */
export function giveToVfio(sys: Sys, device: string): void {
  const files = sys.readdir(`${BUS}/devices/${device}`);
  if (typeof files === "number" || files.includes("vfio-dev")) return;
  giveTo(sys, device, VFIO);
}

/** Takes a device from the driver it has and lets another one bind it: 0, or an errno. */
export function giveTo(sys: Sys, device: string, driver: string): number {
  const override = sys.open(`${BUS}/devices/${device}/driver_override`, O_RDWR);
  if (override < 0) return override;
  sys.write(override, new TextEncoder().encode(driver));
  sys.close(override);
  const drivers = sys.readdir(`${BUS}/drivers`);
  for (const other of typeof drivers === "number" ? [] : drivers) {
    if (other !== driver) echo(sys, `${BUS}/drivers/${other}/unbind`, device);
  }
  return Math.min(0, echo(sys, `${BUS}/drivers_probe`, device));
}
