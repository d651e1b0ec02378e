/**
 * `deno task bundle`: dist/hitless.js, one file that runs with any Deno and no permission.
 */
const out = "dist/hitless.js";
Deno.mkdirSync("dist", { recursive: true });
const { code } = await new Deno.Command(Deno.execPath(), {
  args: ["bundle", "--quiet", "--output", out, "main.ts"],
}).output();
if (code !== 0) {
  console.error("deno bundle failed");
  Deno.exit(code);
}
Deno.chmodSync(out, 0o755);
console.log(`${out}: ${Math.round(Deno.statSync(out).size / 1024)} KiB`);
