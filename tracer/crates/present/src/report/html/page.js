// Lets the timelines zoom, move and describe their events. The rest of the page works without it.
"use strict";

(() => {
  const MS = 1e3; // All times are in microseconds.
  const SECOND = 1e6;
  const MINUTE = 60 * SECOND;
  const HOUR = 60 * MINUTE;
  const STEPS = [
    1, 10, 100, MS, 2 * MS, 5 * MS, 10 * MS, 20 * MS, 50 * MS, 100 * MS, 200 * MS, 500 * MS,
    SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 15 * SECOND, 30 * SECOND,
    MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE,
    HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR, 168 * HOUR,
  ];
  const CLOSEST = 200; // The shortest period that a timeline shows.
  const LABEL = 95; // Pixels for a label.
  const NARROWEST = 2; // Pixels: anything narrower would be invisible.
  const REACH = 14; // Pixels between the pointer and a glyph that it selects.
  const SVG = "http://www.w3.org/2000/svg";

  const numberOf = (element, name) => Number(element.dataset[name]);

  /** The label of a gridline on an axis whose gridlines are `step` apart. */
  const label = (at, step, offset) => {
    const iso = new Date(at / MS + offset * 1000).toISOString();
    if (step < MS) {
      const micros = String(Math.floor(at) % SECOND).padStart(6, "0");
      return `${iso.slice(11, 19)}.${micros}`;
    }
    if (step < SECOND) return iso.slice(11, 23);
    if (step < MINUTE) return iso.slice(11, 19);
    if (step <= 3 * HOUR) return iso.slice(11, 16);
    return `${iso.slice(5, 10)} ${iso.slice(11, 16)}`;
  };

  class Timeline {
    constructor(figure) {
      this.figure = figure;
      this.plot = figure.querySelector(".plot");
      this.svg = this.plot.querySelector("svg");
      this.axis = this.svg.querySelector(".axis");
      this.detail = figure.querySelector(".detail");
      this.hint = this.detail.textContent;
      this.home = [numberOf(figure, "from"), numberOf(figure, "to")];
      this.limits = [numberOf(figure, "min"), numberOf(figure, "max")];
      this.offset = numberOf(figure, "offset");
      this.view = [...this.home];
      this.chosen = null;
      this.lanes = [...this.svg.querySelectorAll(".lane")].map((lane) => ({
        top: numberOf(lane, "top"),
        bottom: numberOf(lane, "top") + numberOf(lane, "height"),
        glyphs: [...lane.querySelectorAll(".mark")]
          .map((element) => {
            const at = numberOf(element, "at");
            return { element, at, to: element.dataset.to ? numberOf(element, "to") : at };
          })
          .sort((one, other) => one.at - other.at),
      }));
      this.listen();
      this.draw();
    }

    listen() {
      const controls = this.figure.querySelector(".controls");
      controls.hidden = false;
      controls.addEventListener("click", (event) => {
        const button = event.target.closest("button");
        if (button) this.act(button.dataset.do);
      });
      this.plot.addEventListener("keydown", (event) => this.key(event));
      this.plot.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
      this.plot.addEventListener("pointerdown", (event) => this.press(event));
      this.plot.addEventListener("pointermove", (event) => this.hover(event));
      this.plot.addEventListener("pointerleave", () => {
        if (!this.plot.contains(document.activeElement)) this.choose(null);
      });
      new ResizeObserver(() => this.draw()).observe(this.plot);
    }

    /** The width in pixels. */
    get width() {
      return this.svg.getBoundingClientRect().width || 1;
    }

    place(at) {
      return `${((at - this.view[0]) / (this.view[1] - this.view[0])) * 100}%`;
    }

    draw() {
      const span = this.view[1] - this.view[0];
      const width = this.width;
      for (const { glyphs } of this.lanes) {
        for (const { element, at, to } of glyphs) {
          element.setAttribute("x", this.place(at));
          if (element.localName !== "rect") continue;
          const part = (to - at) / span;
          element.setAttribute("width", part * width < NARROWEST ? NARROWEST : `${part * 100}%`);
        }
      }
      const most = Math.max(3, Math.floor(width / LABEL));
      const step = STEPS.find((one) => span / one < most) ?? Math.max(STEPS.at(-1), span / most);
      const shift = this.offset * SECOND;
      const all = [];
      let at = Math.ceil((this.view[0] + shift) / step) * step - shift;
      for (; at <= this.view[1]; at += step) {
        const line = document.createElementNS(SVG, "line");
        const height = this.svg.getAttribute("height");
        for (const [name, value] of [["x1", this.place(at)], ["x2", this.place(at)], ["y1", 20], ["y2", height]]) {
          line.setAttribute(name, value);
        }
        all.push(line);
        // At the edges, a label would be cut off.
        const x = ((at - this.view[0]) / span) * width;
        if (x < LABEL / 3 || x > width - LABEL / 3) continue;
        const text = document.createElementNS(SVG, "text");
        text.setAttribute("x", this.place(at));
        text.setAttribute("y", 13);
        text.textContent = label(at, step, this.offset);
        all.push(text);
      }
      this.axis.replaceChildren(...all);
    }

    /** Shows the period from `from` to `to`, within the limits. */
    show(from, to) {
      const widest = this.limits[1] - this.limits[0];
      const span = Math.min(Math.max(to - from, Math.min(CLOSEST, widest)), widest);
      const middle = (from + to) / 2;
      const start = Math.min(Math.max(middle - span / 2, this.limits[0]), this.limits[1] - span);
      this.view = [start, start + span];
      this.draw();
    }

    /** Makes the span `factor` times as long around `middle`. */
    zoom(factor, middle = this.middle()) {
      const [from, to] = this.view;
      this.show(middle - (middle - from) * factor, middle + (to - middle) * factor);
    }

    /** The instant that stays in place while zooming: the chosen glyph, or the middle. */
    middle() {
      const [from, to] = this.view;
      const at = this.chosen?.at;
      return at >= from && at <= to ? at : (from + to) / 2;
    }

    /** Moves by a part of the span. */
    move(part) {
      const by = (this.view[1] - this.view[0]) * part;
      this.show(this.view[0] + by, this.view[1] + by);
    }

    act(what) {
      const acts = {
        in: () => this.zoom(0.5),
        out: () => this.zoom(2),
        back: () => this.move(-0.25),
        on: () => this.move(0.25),
        reset: () => this.show(...this.home),
        all: () => this.show(...this.limits),
      };
      acts[what]?.();
    }

    key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const acts = {
        "+": "in", "=": "in", "-": "out", "_": "out", "0": "reset", a: "all",
        PageUp: "back", PageDown: "on",
      };
      const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      if (event.shiftKey && steps[event.key]?.[0]) this.move(0.25 * steps[event.key][0]);
      else if (steps[event.key]) this.step(...steps[event.key]);
      else if (event.key === "Home" || event.key === "End") this.step(event.key === "Home" ? -Infinity : Infinity, 0);
      else if (event.key === "Escape") this.choose(null, true);
      else if (acts[event.key]) this.act(acts[event.key]);
      else return;
      event.preventDefault();
    }

    /** Goes to another glyph of the lane, or to the nearest glyph of another lane. */
    step(along, across) {
      const lanes = this.lanes.filter((lane) => lane.glyphs.length);
      if (!lanes.length) return;
      const own = lanes.findIndex((lane) => lane.glyphs.includes(this.chosen));
      if (own < 0) {
        const [from, to] = this.view;
        const { glyphs } = lanes[0];
        this.go(glyphs.find((glyph) => glyph.to >= from && glyph.at <= to) ?? glyphs[0]);
        return;
      }
      const lane = lanes[Math.min(Math.max(own + across, 0), lanes.length - 1)].glyphs;
      if (across) {
        const far = (glyph) => Math.abs(glyph.at - this.chosen.at);
        this.go(lane.reduce((best, glyph) => (far(glyph) < far(best) ? glyph : best)));
        return;
      }
      const next = lane.indexOf(this.chosen) + along;
      this.go(lane[Math.min(Math.max(next, 0), lane.length - 1)]);
    }

    /** Chooses a glyph, moves it into view and focuses it. */
    go(glyph) {
      const [from, to] = this.view;
      if (glyph.at < from || glyph.at > to) this.show(glyph.at - (to - from) / 2, glyph.at + (to - from) / 2);
      this.choose(glyph);
      glyph.element.focus({ preventScroll: true });
    }

    choose(glyph, focus = false) {
      if (this.chosen !== glyph) {
        this.chosen?.element.classList.remove("chosen");
        glyph?.element.classList.add("chosen");
        this.chosen = glyph;
        this.detail.textContent = glyph ? glyph.element.getAttribute("aria-label") : this.hint;
        this.detail.classList.toggle("chosen", Boolean(glyph));
      }
      if (focus) this.plot.focus();
    }

    /** The instant below the pointer. */
    under(event) {
      const box = this.svg.getBoundingClientRect();
      const part = (event.clientX - box.left) / (box.width || 1);
      return this.view[0] + part * (this.view[1] - this.view[0]);
    }

    wheel(event) {
      const along = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
      if (event.ctrlKey || event.metaKey) this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.under(event));
      else if (along) this.move((event.deltaX || event.deltaY) / this.width);
      else return;
      event.preventDefault();
    }

    press(event) {
      if (event.button !== 0) return;
      const start = event.clientX;
      const [from, to] = this.view;
      const each = (to - from) / this.width;
      const moved = (now) => this.show(from + (start - now.clientX) * each, to + (start - now.clientX) * each);
      const end = () => {
        this.plot.removeEventListener("pointermove", moved);
        for (const name of ["pointerup", "pointercancel"]) this.plot.removeEventListener(name, end);
      };
      this.plot.addEventListener("pointermove", moved);
      for (const name of ["pointerup", "pointercancel"]) this.plot.addEventListener(name, end);
      this.plot.setPointerCapture(event.pointerId);
      this.hover(event);
    }

    /** Chooses the glyph near the pointer, in the pointer's lane. Deaths come first. */
    hover(event) {
      const y = event.clientY - this.svg.getBoundingClientRect().top;
      const lane = this.lanes.find(({ top, bottom }) => y >= top && y < bottom);
      const at = this.under(event);
      const each = (this.view[1] - this.view[0]) / this.width;
      const away = ({ at: from, to, element }) => {
        const far = Math.max(from - at, at - to, 0) / each;
        if (element.classList.contains("death")) return far - REACH / 2;
        return element.classList.contains("down") ? far + REACH / 2 : far;
      };
      let best = null;
      for (const glyph of lane?.glyphs ?? []) {
        if (away(glyph) <= REACH && (!best || away(glyph) < away(best))) best = glyph;
      }
      this.choose(best);
    }
  }

  const timelines = [...document.querySelectorAll(".timeline")].map((figure) => new Timeline(figure));
  for (const hint of document.querySelectorAll(".hint")) hint.hidden = false;

  // Paper cannot be unfolded or zoomed.
  window.addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) details.open = true;
    for (const timeline of timelines) timeline.act("reset");
  });
})();
