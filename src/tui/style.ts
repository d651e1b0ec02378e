/**
 * Styles are small integers kept in the cells of a grid. A style is symbolic: a stack of roles
 * and explicit looks. The theme turns it into an SGR sequence only when a frame is written, so
 * a new theme needs a repaint but no redraw.
 */

import { sgrColor } from "./color.ts";
import { type Look, makeTheme, type Role, ROLES, type Theme } from "./theme.ts";

/** An id handed out by a `StyleTable`. 0 is plain text. */
export type Style = number;

/** What drawing functions accept: a role's name or an interned style. */
export type StyleLike = Role | Style;

type Layer = Role | Look;

const PLAIN_SGR = "\x1b[m";

function layerKey(layer: Layer): string {
  if (typeof layer === "string") return layer;
  const flags = [layer.bold, layer.dim, layer.underline, layer.reverse, layer.italic];
  return `${layer.fg ?? ""}/${layer.bg ?? ""}/${flags.map((on) => on ? 1 : 0).join("")}`;
}

/** Interns styles and knows their SGR form under the current theme. */
export class StyleTable {
  #theme: Theme;
  readonly #layers: Layer[][] = [];
  readonly #ids = new Map<string, Style>();
  readonly #overlays = new Map<number, Style>();
  readonly #roles = {} as Record<Role, Style>;
  #sgr: (string | undefined)[] = [];

  constructor(theme: Theme = makeTheme({ depth: "none" })) {
    this.#theme = theme;
    // ROLES starts with "text", which makes id 0 plain text.
    for (const role of ROLES) this.#roles[role] = this.#intern([role]);
  }

  get theme(): Theme {
    return this.#theme;
  }

  /** Exchanges the theme. Every cell keeps its style id; the caller repaints in full. */
  set theme(theme: Theme) {
    this.#theme = theme;
    this.#sgr = [];
  }

  /** Number of styles interned so far. */
  get size(): number {
    return this.#layers.length;
  }

  /** The id of a role or, for a number, the number itself. */
  resolve(style: StyleLike): Style {
    return typeof style === "number" ? style : this.#roles[style];
  }

  /** Interns an explicit look. Colours are reduced to the theme's depth when written. */
  look(look: Look): Style {
    return this.#intern([look]);
  }

  /**
   * `top` laid over `base`: colours that `top` names win, attributes add up. This is how a
   * selected row keeps the meaning of its cells.
   */
  over(base: StyleLike, top: StyleLike): Style {
    const below = this.resolve(base);
    const above = this.resolve(top);
    if (below === above || above === 0) return below;
    if (below === 0) return above;
    const key = below * 0x100000 + above;
    let id = this.#overlays.get(key);
    if (id === undefined) {
      // A layer already on top need not be repeated; this keeps repeated overlays finite.
      const layers = this.#layers[above]!;
      const kept = this.#layers[below]!.filter((layer) => !layers.includes(layer));
      this.#overlays.set(key, id = this.#intern([...kept, ...layers]));
    }
    return id;
  }

  /** The SGR sequence that selects `style`, whatever was selected before. */
  sgr(style: Style): string {
    return this.#sgr[style] ??= this.#write(style);
  }

  #intern(layers: Layer[]): Style {
    const key = layers.map(layerKey).join("+");
    let id = this.#ids.get(key);
    if (id === undefined) {
      this.#ids.set(key, id = this.#layers.length);
      this.#layers.push(layers);
    }
    return id;
  }

  /** How a style looks under the current theme: all its layers, the upper ones first. */
  lookOf(style: Style): Look {
    let look: Look = {};
    for (const layer of this.#layers[style] ?? []) {
      const next = typeof layer === "string" ? this.#theme.looks[layer] : layer;
      const set = Object.entries(next).filter(([, value]) =>
        value !== undefined && value !== false
      );
      look = { ...look, ...Object.fromEntries(set) };
    }
    return look;
  }

  #write(style: Style): string {
    const look = this.lookOf(style);
    const depth = this.#theme.depth;
    let codes = "";
    if (look.bold) codes += ";1";
    if (look.dim) codes += ";2";
    if (look.italic) codes += ";3";
    if (look.underline) codes += ";4";
    if (look.reverse) codes += ";7";
    if (look.fg !== undefined) codes += sgrColor(look.fg, depth, false);
    if (look.bg !== undefined) codes += sgrColor(look.bg, depth, true);
    return codes === "" ? PLAIN_SGR : `\x1b[0${codes}m`;
  }
}
