// A native table drawn from rows of plain data. The server keeps the rows and what is selected; this only shows them.
export default {
  template: `
  <div class="table-frame" v-show="rows.length">
    <table :class="['list', 'grid', kind]" :aria-label="label">
      <thead>
        <tr>
          <th v-if="selectable" class="tick-cell" scope="col">
            <input type="checkbox" :aria-label="words.all" :checked="isAll" :indeterminate.prop="isSome" @change="all($event)">
          </th>
          <th v-for="column in columns" :key="column.key" :class="column.classes" scope="col" :aria-sort="sorting(column)">
            <button v-if="column.sort" type="button" class="sort" @click="$emit('sort', column.sort)">
              {{ column.title }}<span aria-hidden="true">{{ arrow(column) }}</span>
            </button>
            <template v-else>{{ column.title }}</template>
          </th>
        </tr>
      </thead>
      <tbody>
        <tr v-for="row in rows" :key="row.id" :class="row.classes" :data-row="row.id">
          <td v-if="selectable" class="tick-cell">
            <input v-if="row.name" type="checkbox" :aria-label="words.one + ' ' + row.name" :checked="selected.includes(row.id)"
              @change="one(row.id, $event)">
          </td>
          <component :is="index ? 'td' : 'th'" v-for="(column, index) in columns" :key="column.key"
            :class="column.classes" :scope="index ? null : 'row'" :data-label="column.title">
            <template v-for="cell in [row.cells[column.key] || {}]">
              <div class="cell-line" v-if="cell.text || cell.dot">
                <span v-if="cell.dot" :class="['dot', cell.dot]" aria-hidden="true"></span>
                <a v-if="cell.href" :href="cell.href" class="strong">{{ cell.text }}</a>
                <button v-else-if="cell.act" type="button" class="strong" @click="$emit('act', {row: row.id, act: cell.act})">
                  {{ cell.text }}</button>
                <time v-else-if="cell.at" :datetime="cell.at" :title="cell.title || null">{{ cell.text }}</time>
                <span v-else :class="cell.mood ? 'state ' + cell.mood : null" :title="cell.title || null">{{ cell.text }}</span>
              </div>
              <div v-if="cell.sub" :class="['sub', cell.subMood]">{{ cell.sub }}</div>
              <div v-if="cell.badges" class="badges"><span v-for="badge in cell.badges" :key="badge" class="badge">{{ badge }}</span></div>
              <div v-if="cell.work" class="work">
                <div class="work-line">
                  <span class="work-what">{{ cell.work.what }}</span><span class="work-far num">{{ cell.work.far }}</span>
                </div>
                <div class="work-line">
                  <div :class="['bar', {waiting: cell.work.isWaiting}]" role="progressbar" aria-valuemin="0" aria-valuemax="100"
                    :aria-label="cell.work.label" :aria-valuenow="cell.work.percent">
                    <div :class="['bar-fill', {unknown: cell.work.percent === null}]"
                      :style="cell.work.percent === null ? null : {width: cell.work.percent + '%'}"></div>
                  </div>
                  <button v-for="act in cell.work.acts" :key="act.id" type="button" class="button quiet small"
                    :aria-label="act.aria" @click="$emit('act', {row: row.id, act: act.id})">{{ act.label }}</button>
                </div>
              </div>
              <template v-for="act in cell.acts || []" :key="act.id">
                <a v-if="act.href" :href="act.href" :class="['button', 'small', act.classes]" :aria-label="act.aria">{{ act.label }}</a>
                <button v-else type="button" :class="['button', 'small', act.classes]" :aria-label="act.aria"
                  @click="$emit('act', {row: row.id, act: act.id})">{{ act.label }}</button>
              </template>
            </template>
          </component>
        </tr>
      </tbody>
    </table>
  </div>`,
  props: {
    label: String, kind: String, columns: Array, rows: Array, words: Object, selectable: Boolean, selected: Array,
    sort: String, descending: Boolean,
  },
  computed: {
    choosable() {
      return this.rows.filter((row) => row.name).map((row) => row.id);
    },
    isAll() {
      return this.choosable.length > 0 && this.choosable.every((id) => this.selected.includes(id));
    },
    isSome() {
      return !this.isAll && this.choosable.some((id) => this.selected.includes(id));
    },
  },
  methods: {
    sorting(column) {
      if (!column.sort || column.sort !== this.sort) return null;
      return this.descending ? "descending" : "ascending";
    },
    arrow(column) {
      const order = this.sorting(column);
      return order === null ? "" : order === "ascending" ? " ↑" : " ↓";
    },
    one(id, event) {
      this.$emit("choose", { ids: [id], on: event.target.checked });
    },
    all(event) {
      this.$emit("choose", { ids: this.choosable, on: event.target.checked });
    },
  },
};
