// A page with the vendor's browser SDK and its plugins: it shows which variants were selected.

import { Ninetailed } from "@ninetailed/experience.js";
import { NinetailedInsightsPlugin } from "@ninetailed/experience.js-plugin-insights";
import { NinetailedPrivacyPlugin } from "@ninetailed/experience.js-plugin-privacy";
import { NinetailedSsrPlugin } from "@ninetailed/experience.js-plugin-ssr";

const settings = new URL(location.href).searchParams;
const problems = [];

const ninetailed = new Ninetailed(
  { clientId: "default", environment: "main" },
  {
    url: settings.get("api"),
    locale: settings.get("locale") ?? "en",
    plugins: [
      new NinetailedPrivacyPlugin({}),
      new NinetailedInsightsPlugin({ url: `${location.origin}/insights` }),
      new NinetailedSsrPlugin(),
    ],
    onError: (...details) => problems.push(details.map(String).join(" ")),
  }
);

ninetailed.onProfileChange((state) => {
  if (state.status !== "success") return;
  const list = document.getElementById("experiences");
  list.replaceChildren(
    ...state.experiences.map((one) => {
      const item = document.createElement("li");
      item.dataset.experience = one.experienceId;
      item.textContent = `${one.experienceId} ${one.variantIndex}`;
      return item;
    })
  );
  document.getElementById("profile").textContent = state.profile.id;
});

window.ninetailedUnderTest = ninetailed;
window.problems = problems;
window.ready = ninetailed.page();
