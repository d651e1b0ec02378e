/** Runs the C library and dtc where the machine has them. */

const PROBE = "#include <libfdt.h>\nint main(void) { return fdt_create(0, 0) == 0; }\n";

/** A command's output; undefined when it cannot be started. */
export async function run(
  command: string,
  args: string[],
  input: string | Uint8Array = "",
): Promise<{ code: number; stdout: Uint8Array; stderr: string } | undefined> {
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command(command, {
      args,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  } catch {
    return undefined;
  }
  const output = child.output();
  const writer = child.stdin.getWriter();
  // A program that stops reading early says why on its standard error.
  await writer.write(typeof input === "string" ? new TextEncoder().encode(input) : input)
    .catch(() => {});
  await writer.close().catch(() => {});
  const { code, stdout, stderr } = await output;
  return { code, stdout, stderr: new TextDecoder().decode(stderr) };
}

export async function hasLibfdt(): Promise<boolean> {
  const args = ["-x", "c", "-", "-o", "/dev/null", "-lfdt"];
  return (await run("cc", args, PROBE))?.code === 0;
}

export async function hasDtc(): Promise<boolean> {
  return (await run("dtc", ["--version"]))?.code === 0;
}

/** Builds the reference program; the result runs a list of calls and returns its lines. */
export async function buildReference(
  folder: string,
): Promise<(calls: readonly string[]) => Promise<string[]>> {
  const source = new URL("./libfdt_reference.c", import.meta.url).pathname;
  const program = `${folder}/libfdt_reference`;
  const built = await run("cc", ["-O1", "-Wall", source, "-o", program, "-lfdt"]);
  if (built?.code !== 0) throw new Error(`cannot build the reference: ${built?.stderr}`);
  return async (calls) => {
    const ran = await run(program, [], calls.map((call) => call + "\n").join(""));
    if (ran?.code !== 0) throw new Error(`the reference failed: ${ran?.stderr}`);
    return new TextDecoder().decode(ran.stdout).trimEnd().split("\n");
  };
}
