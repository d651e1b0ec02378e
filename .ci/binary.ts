/**
 * `deno task binary`: dist/hitless, one executable that needs neither Deno nor Node.
 *
 * With `deno compile` where Deno's runtime base can be had (it is fetched from outside, or named
 * by DENORT_BIN). Otherwise Deno itself is packed with the bundle behind launcher.sh.
 */
const bundle = "dist/hitless.js";
const out = `${Deno.cwd()}/dist/hitless`;

async function run(command: string, args: string[], cwd?: string): Promise<boolean> {
  const options = { args, stdout: "null", stderr: "null", ...(cwd ? { cwd } : {}) } as const;
  return (await new Deno.Command(command, options).output()).success;
}

async function build(): Promise<void> {
  await import("./bundle.ts");
  if (await compile()) console.log("dist/hitless: compiled with deno compile");
  else {
    console.log("deno compile: its runtime base cannot be had here; packing Deno itself instead");
    await pack();
    const size = Math.round(Deno.statSync(out).size / 1048576);
    console.log(`dist/hitless: Deno and the bundle, ${size} MiB`);
  }
}

/** In an empty folder: beside a package tree `deno compile` may run out of stack. */
async function compile(): Promise<boolean> {
  const folder = Deno.makeTempDirSync();
  try {
    Deno.copyFileSync(bundle, `${folder}/hitless.js`);
    const args = ["compile", "--no-prompt", "--allow-read", "--allow-write", "--output", "hitless"];
    if (!await run(Deno.execPath(), [...args, "hitless.js"], folder)) return false;
    // A base that is no base makes a file that is merely Deno again: ask it who it is.
    if (!await run(`${folder}/hitless`, ["scenarios"])) return false;
    Deno.copyFileSync(`${folder}/hitless`, out);
    Deno.chmodSync(out, 0o755);
    return true;
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

async function pack(): Promise<void> {
  const folder = Deno.makeTempDirSync();
  try {
    Deno.copyFileSync(bundle, `${folder}/hitless.js`);
    Deno.copyFileSync(Deno.execPath(), `${folder}/deno`);
    Deno.chmodSync(`${folder}/deno`, 0o755);
    const archive = `${folder}/payload.tar.gz`;
    const names = ["-C", folder, "deno", "hitless.js"];
    if (!await run("tar", ["--owner=0", "--group=0", "-czf", archive, ...names])) {
      console.error("tar failed");
      Deno.exit(1);
    }
    const payload = Deno.readFileSync(archive);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", payload));
    const id = [...digest.subarray(0, 8)].map((b) => b.toString(16).padStart(2, "0")).join("");
    const script = Deno.readTextFileSync(new URL("./launcher.sh", import.meta.url));
    const lines = script.trimEnd().split("\n").length + 1;
    const head = script.trimEnd().replace("@ID@", id).replace("@LINES@", String(lines)) + "\n";
    const file = Deno.openSync(out, { write: true, create: true, truncate: true, mode: 0o755 });
    for (const part of [new TextEncoder().encode(head), payload]) {
      for (let done = 0; done < part.length;) done += file.writeSync(part.subarray(done));
    }
    file.close();
    Deno.chmodSync(out, 0o755);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

await build();
