// The moments of a host on a line, oldest first. While the knob is moved only the words change; let go, it is looked up.
export default {
  template: `
  <div class="slider" role="group" :aria-label="label" v-show="marks.length">
    <button type="button" class="button small" :disabled="value <= 0" :aria-label="words.older" @click="$emit('pick', value - 1)">‹</button>
    <div class="slider-track">
      <div class="slider-marks" aria-hidden="true">
        <i v-for="(mark, index) in marks" :key="mark.id" :class="{ changed: mark.changed }" :style="{ left: place(index) }"></i>
      </div>
      <input type="range" min="0" :max="Math.max(0, marks.length - 1)" :value="at" :aria-label="label" :aria-valuetext="text"
        @input="at = Number($event.target.value)" @change="$emit('pick', at)">
    </div>
    <button type="button" class="button small" :disabled="value >= marks.length - 1" :aria-label="words.newer"
      @click="$emit('pick', value + 1)">›</button>
    <output class="slider-text num" aria-live="polite">{{ text }}</output>
  </div>`,
  props: { label: String, words: Object, marks: Array, value: Number },
  data() {
    return { at: this.value };
  },
  watch: {
    value(to) {
      this.at = to;
    },
    marks() {
      this.at = this.value;
    },
  },
  computed: {
    text() {
      return this.marks[this.at]?.label ?? "";
    },
  },
  methods: {
    place(index) {
      return this.marks.length > 1 ? `${(index / (this.marks.length - 1)) * 100}%` : "50%";
    },
  },
};
