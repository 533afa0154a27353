// A chart whose options come as plain data: colours are names of our CSS variables, looked up here and again when the
// theme changes; times are shown in the reader's zone, numbers in their language. New points are added to what is there.
import { echarts } from "nicegui-echart";

const MINUTE = 60000, HOUR = 60 * MINUTE, DAY = 24 * HOUR;

export default {
  template: `<div class="chart-canvas" aria-hidden="true"></div>`,
  props: { options: Object, plots: Object, reader: Object },
  mounted() {
    this.chart = echarts.init(this.$el, null, { renderer: "svg" });
    this.probe = document.createElement("span");
    this.probe.hidden = true;
    this.$el.parentNode.append(this.probe);
    this.resizes = new ResizeObserver(() => this.chart.resize());
    this.resizes.observe(this.$el);
    this.themes = new MutationObserver(this.draw);
    this.themes.observe(document.body, { attributes: true, attributeFilter: ["class"] });
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.scheme.addEventListener("change", this.draw);
    this.take();
    this.draw();
  },
  beforeUnmount() {
    this.resizes.disconnect();
    this.themes.disconnect();
    this.scheme.removeEventListener("change", this.draw);
    this.probe.remove();
    this.chart.dispose();
  },
  watch: {
    options() { this.draw(); },
    reader() { this.take(); this.draw(); },
    plots() { this.take(); this.draw(); },
  },
  methods: {
    // What the server sent becomes points; `push` adds to them without the server sending all of it again.
    take() {
      this.offsets = new Map();
      this.zoned = new Intl.DateTimeFormat("en-GB", {
        timeZone: this.reader.zone, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric",
      });
      this.end = this.plots.end;
      this.points = {};
      for (const [id, plot] of Object.entries(this.plots.series || {})) this.points[id] = this.expand(plot);
    },
    push(series, end) {
      if (!this.chart) return;
      this.end = end;
      const since = this.local(end - this.plots.span);
      for (const [id, plot] of Object.entries(series)) {
        const fresh = this.expand(plot).filter(([, value]) => value !== null);
        if (!fresh.length) continue;
        const first = fresh[0][0]; // what was still empty then has its value now
        const known = (this.points[id] || []).filter(([at]) => at >= since && at < first);
        this.points[id] = [...known, ...fresh];
      }
      this.chart.setOption({ xAxis: this.window(), series: this.series() });
    },
    draw() {
      const options = this.dressed(this.options);
      options.xAxis = { ...options.xAxis, ...this.window() };
      options.series = options.series.map((series) => ({ ...series, ...this.values(series.id) }));
      this.chart.setOption(options, { notMerge: true });
    },
    window() {
      if (this.plots.categories) return { data: this.plots.categories };
      return { min: this.local(this.end - this.plots.span), max: this.local(this.plots.until || this.end) };
    },
    series() {
      return this.options.series.map(({ id }) => ({ id, ...this.values(id) }));
    },
    values(id) {
      if (this.plots.categories) return { data: (this.plots.bars || {})[id] || [] };
      const data = this.points[id] || [];
      const alone = data.filter(([, value]) => value !== null).length === 1; // a line needs two to be seen
      return { data, showSymbol: alone };
    },
    expand({ start, step, values }) {
      return values.map((value, place) => [this.local(start + place * step), value]);
    },
    // The moment on the reader's clock, as if that were UTC: ECharts then finds round hours and days by itself.
    local(at) {
      const quarter = Math.floor(at / (15 * MINUTE));
      if (!this.offsets.has(quarter)) {
        const whole = quarter * 15 * MINUTE;
        const part = Object.fromEntries(this.zoned.formatToParts(whole).map(({ type, value }) => [type, Number(value)]));
        this.offsets.set(quarter, Date.UTC(part.year, part.month - 1, part.day, part.hour, part.minute) - whole);
      }
      return at + this.offsets.get(quarter);
    },
    // Options with every "--colour" looked up and every "@format" as a function.
    dressed(value) {
      if (Array.isArray(value)) return value.map(this.dressed);
      if (value && typeof value === "object") {
        return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, this.dressed(inner)]));
      }
      if (typeof value !== "string") return value;
      if (value.startsWith("--")) return this.colour(value);
      if (value === "@time") return this.time;
      if (value === "@told") return this.told;
      return value.startsWith("@") ? (number) => this.number(number, value.slice(1)) : value;
    },
    colour(name) {
      this.probe.style.color = `var(${name})`;
      return getComputedStyle(this.probe).color;
    },
    number(value, unit) {
      if (value === null || value === undefined) return "–";
      if (unit === "share") return this.plain(value * 100, value < 0.1 && value > 0 ? 1 : 0) + (this.reader.language === "fr" ? "\u00a0%" : "%");
      if (unit === "count") return this.plain(value, Number.isInteger(value) || value >= 100 ? 0 : 1);
      let power = 0;
      while (value >= 999.5 && power < this.reader.units.length - 1) { value /= 1000; power += 1; }
      const decimals = power && value < 10 && !Number.isInteger(value) ? 1 : 0;
      return `${this.plain(value, decimals)}\u00a0${this.reader.units[power]}${unit === "rate" ? "/s" : ""}`;
    },
    plain(value, decimals) {
      return value.toLocaleString(this.reader.language, { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
    },
    day(at) {
      const date = new Date(at);
      return `${date.getUTCDate()} ${this.reader.months[date.getUTCMonth()]}`;
    },
    month(at) {
      const date = new Date(at);
      return `${this.reader.months[date.getUTCMonth()]} ${date.getUTCFullYear()}`;
    },
    clock(at) {
      return new Date(at).toISOString().slice(11, 16);
    },
    time(value) {
      const at = Number(value), whole = at % DAY === 0;
      if (this.plots.span <= 2 * DAY && !whole) return this.clock(at);
      if (this.plots.span > 60 * DAY && !this.plots.categories) return this.month(at);
      return whole ? this.day(at) : "";
    },
    told(rows) {
      if (!rows.length) return "";
      const at = Number(rows[0].axisValue), place = rows[0].dataIndex;
      const isExact = this.plots.bar ? this.plots.bar < DAY : this.plots.span < 60 * DAY;
      const when = `${this.day(at)} ${new Date(at).getUTCFullYear()}${isExact ? `, ${this.clock(at)}` : ""}`;
      const box = document.createElement("div");
      box.className = "chart-tip";
      box.append(this.line("chart-tip-when", when));
      for (const row of rows) {
        const value = Array.isArray(row.value) ? row.value[1] : row.value;
        if (value === null || value === undefined) continue;
        const line = this.line("chart-tip-row", "");
        line.append(this.line("", row.seriesName), this.line("num", this.number(value, this.plots.unit)));
        line.style.setProperty("--swatch", typeof row.color === "string" ? row.color : "currentcolor");
        box.append(line);
      }
      if (this.plots.notes?.[place]) box.append(this.line("chart-tip-note", this.plots.notes[place]));
      return box;
    },
    line(classes, text) {
      const made = document.createElement("div");
      made.className = classes;
      made.textContent = text;
      return made;
    },
  },
};
