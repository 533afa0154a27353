// Asks for the recovery code and seals it to an offer of the appliance, which hears the sealed text alone.
const KIT = "/assets/kit.js";
export default {
  template: `
  <form class="unlock" novalidate @submit.prevent="submit">
    <div class="field">
      <label :for="id + '-code'">{{ words.code }}</label>
      <input :id="id + '-code'" ref="code" class="mono" type="text" maxlength="128" autocomplete="off" spellcheck="false"
        autocapitalize="characters" :aria-describedby="id + '-hint'">
      <span :id="id + '-hint'" class="hint">{{ words.hint }}</span>
    </div>
    <div class="field">
      <label :for="id + '-minutes'">{{ words.minutes }}</label>
      <select :id="id + '-minutes'" v-model.number="minutes">
        <option v-for="(label, value) in choices" :key="value" :value="Number(value)">{{ label }}</option>
      </select>
    </div>
    <p class="notice bad" role="alert">{{ problem }}</p>
    <div class="dialog-actions">
      <button type="button" class="button" @click="$emit('cancel')">{{ words.cancel }}</button>
      <button type="submit" class="button primary" :disabled="isBusy">{{ words.unlock }}</button>
    </div>
  </form>`,
  props: { words: Object, choices: Object },
  data() {
    return { id: `unlock-${Math.random().toString(36).slice(2)}`, minutes: 15, problem: "", isBusy: false };
  },
  methods: {
    async submit() {
      this.problem = "";
      this.isBusy = true;
      try {
        const { isAble, readCode, seal } = await import(KIT);
        if (!(await isAble())) throw new Error(this.words.unable);
        const code = await readCode(this.$refs.code.value).catch(() => {
          throw new Error(this.words.mistyped);
        });
        const offer = await this.offer();
        const sealed = await seal(offer.public_key, offer.info, code);
        this.$refs.code.value = "";
        this.$emit("sealed", { unlock_id: offer.unlock_id, sealed_code: sealed, minutes: this.minutes });
      } catch (error) {
        this.fail(error.message);
      }
    },
    async offer() {
      const response = await fetch("/api/v1/keys/unlocks", { method: "POST" }).catch(() => null);
      const answer = await response?.json().catch(() => ({}));
      if (!response?.ok) throw new Error(this.words[answer?.code] || answer?.detail || this.words.unreachable);
      return answer;
    },
    fail(message) {
      this.problem = message;
      this.isBusy = false;
      this.$refs.code.focus();
    },
    done() {
      this.problem = "";
      this.isBusy = false;
    },
  },
};
