// A folder of a host: a line for each entry, with a box to choose it. The server knows the entries and what is chosen.
export default {
  template: `
  <ul class="folder" :aria-label="label" v-show="rows.length">
    <li v-for="(row, index) in rows" :key="row.name">
      <input type="checkbox" :aria-label="tick + ' ' + row.name" :checked="row.mark !== ''" :disabled="row.mark === 'within'"
        @change="$emit('tick', { index, on: $event.target.checked })">
      <button v-if="row.isFolder" type="button" class="folder-name" @click="$emit('open', index)">{{ row.name }}</button>
      <span v-else class="folder-name">{{ row.name }}</span>
      <span class="sub num">{{ row.sub }}</span>
    </li>
  </ul>`,
  props: { label: String, tick: String, rows: Array, path: String },
  watch: {
    // What was clicked is gone with its folder: let the keyboard go on in the new one.
    path() {
      this.$nextTick(() => this.$el.querySelector("input:not(:disabled), button")?.focus());
    },
  },
};
