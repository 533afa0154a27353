// Lines of a job's log. The server sends each line once; what is far above the newest is let go.
const KEPT = 5000;
export default {
  template: `
  <pre v-show="lines.length" class="log" tabindex="0" role="log" :aria-label="label" ref="box"><div
    v-for="line in lines" :key="line.id" :class="line.level">{{ line.at }}  {{ line.text }}</div></pre>`,
  props: { label: String },
  data() {
    return { lines: [] };
  },
  methods: {
    add(lines) {
      const box = this.$refs.box;
      const isAtEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
      this.lines = [...this.lines, ...lines].slice(-KEPT);
      if (isAtEnd) this.$nextTick(() => box.scrollTo(0, box.scrollHeight));
    },
  },
};
