/**
 * A small app on the toolkit, for trying it out and for tests in a real terminal:
 * `deno run tests/tui/demo_app.ts`. q quits, t throws, r rejects, x leaves by Deno.exit.
 */

import {
  type App,
  box,
  columns,
  footer,
  fr,
  gauge,
  list,
  type Region,
  rows,
  run,
  sparkline,
  table,
  type Ui,
  type UiEvent,
} from "../../src/tui/mod.ts";

const STEP_MS = 200;

class Demo implements App {
  #selected = 0;
  #offset = 0;
  #running = true;
  #next = 0;
  #load: number[] = [];
  #log: string[] = ["started"];

  onEvent(event: UiEvent, ui: Ui): void {
    if (event.type === "resize") this.#log.push(`resized to ${event.cols}x${event.rows}`);
    else if (event.type === "paste") this.#log.push(`pasted ${event.text.length} characters`);
    else if (event.type === "key") this.#key(event.key, ui);
  }

  #key(key: string, ui: Ui): void {
    this.#log.push(`key ${key}`);
    if (key === "q" || key === "ctrl-c") ui.exit(0);
    else if (key === "t") throw new Error("thrown on request");
    else if (key === "r") Promise.reject(new Error("rejected on request"));
    else if (key === "x") Deno.exit(5);
    else if (key === "p") this.#running = !this.#running;
    else if (key === "down" || key === "j") this.#selected = Math.min(19, this.#selected + 1);
    else if (key === "up" || key === "k") this.#selected = Math.max(0, this.#selected - 1);
  }

  tick(nowMs: number, ui: Ui): number | undefined {
    if (!this.#running) return undefined;
    if (nowMs >= this.#next) {
      this.#next = nowMs + STEP_MS;
      this.#load.push(50 + 50 * Math.sin(this.#load.length / 5));
      if (this.#load.length > 500) this.#load.shift();
      ui.invalidate();
    }
    return this.#next;
  }

  draw(screen: Region): void {
    const [body, foot] = rows(screen.area, [fr(), 1]);
    const [left, right] = columns(body!, [fr(), fr()]);
    const devices = box(screen.sub(left!), {
      number: 1,
      title: "Devices",
      count: `${this.#selected + 1}/20`,
      focused: true,
    });
    this.#offset = table(devices, {
      columns: [
        { title: "Name", width: fr(1, 6) },
        { title: "State", width: 6 },
        { title: "DMA", width: 6, align: "right", priority: 1 },
      ],
      rows: 20,
      selected: this.#selected,
      offset: this.#offset,
      cell: (row, column) =>
        column === 0
          ? `dev${row}`
          : column === 1
          ? { text: row % 5 ? "ok" : "stall", style: row % 5 ? "good" : "warn" }
          : String(row * 37),
    }).offset;
    const [chart, bar, log] = rows(right!, [5, 3, fr()]);
    sparkline(box(screen.sub(chart!), { number: 2, title: "Load" }), { values: this.#load });
    gauge(box(screen.sub(bar!), { title: "Progress" }), { ratio: (this.#load.length % 50) / 50 });
    list(box(screen.sub(log!), { number: 3, title: "Log" }), {
      count: this.#log.length,
      line: (index) => this.#log[index]!,
      follow: true,
    });
    footer(screen.sub(foot!), {
      mode: this.#running ? "RUN" : "HOLD",
      hints: [{ key: "p", label: "pause" }, { key: "↑↓", label: "select" }, {
        key: "q",
        label: "quit",
      }],
    });
  }
}

if (import.meta.main) Deno.exit(await run(new Demo()));
