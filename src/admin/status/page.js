"use strict";
(() => {
  const INTERVAL_MS = 2000, TIMEOUT_MS = 8000, POINTS = 150;
  // A rate is taken over this many looks, so that single tasks don't make it jump.
  const SPAN = 5;
  const PARTS = ["head", "facts", "routes", "problems"];
  const SVG = "http://www.w3.org/2000/svg";
  // What the server wrote for each part, before plots were drawn into it; and all looks, by what they are about.
  const written = new Map(), looks = new Map();
  let answered = Date.now();

  const rate = (from, to) => (to.ended - from.ended) / (to.at - from.at);
  const time = (from, to) => to.ended > from.ended ? (to.secs - from.secs) / (to.ended - from.ended) : null;

  function remember(page) {
    const at = Number(page.getElementById("head").dataset.uptime);
    const seen = new Set();
    for (const element of page.querySelectorAll("[data-ended]")) {
      const { key, ended, secs } = element.dataset;
      let series = looks.get(key) ?? [];
      // Another process answers, or the same one again within its clock.
      if (series.length && series[series.length - 1].at >= at) series = [];
      series.push({ at, ended: Number(ended), secs: Number(secs) });
      looks.set(key, series.slice(-POINTS - SPAN));
      seen.add(key);
    }
    for (const key of looks.keys()) if (!seen.has(key)) looks.delete(key);
  }

  /** The values to draw: null where there is none. */
  function values(key, of) {
    const series = looks.get(key) ?? [];
    return series.slice(1).map((to, index) => ({ at: to.at, value: of(series[Math.max(0, index + 1 - SPAN)], to) }));
  }

  function words(name, value) {
    if (value === null) return "–";
    if (name === "rate") return (value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en")) + "/s";
    if (value < 1) return Math.round(value * 1000) + " ms";
    return value < 60 ? value.toFixed(1) + " s" : Math.round(value / 60).toLocaleString("en") + " min";
  }

  function shape(name, points) {
    const element = document.createElementNS(SVG, "path");
    element.setAttribute("class", name);
    element.setAttribute("d", points);
    return element;
  }

  function draw(place, name, points) {
    // Nothing has happened, and a line of zeros would say no more.
    if (!points.some(point => point.value)) return;
    const svg = document.createElementNS(SVG, "svg");
    const last = points[points.length - 1];
    // A minute at least, so that the first looks are not stretched.
    const span = Math.max(last.at - points[0].at, 60);
    const most = Math.max(...points.map(point => point.value ?? 0), 1e-9);
    svg.setAttribute("viewBox", "0 0 100 24");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `the last minutes; at most ${words(name, most)}`);
    const x = point => (100 - (last.at - point.at) / span * 100).toFixed(2);
    const y = point => (23 - point.value / most * 21).toFixed(2);
    // Where there is no value, the line has a gap.
    let run = [];
    const finish = () => {
      if (run.length > 1) {
        const line = run.map(point => `${x(point)} ${y(point)}`).join("L");
        svg.append(shape("area", `M${x(run[0])} 24L${line}L${x(run[run.length - 1])} 24Z`), shape("line", `M${line}`));
      }
      run = [];
    };
    for (const point of points) point.value === null ? finish() : run.push(point);
    finish();
    place.replaceChildren(`now ${words(name, last.value)}`, svg);
  }

  function drawAll() {
    for (const place of document.querySelectorAll("[data-plot]")) {
      const key = place.closest("[data-key], [data-of]").dataset;
      const name = place.dataset.plot;
      draw(place, name, values(key.key ?? key.of, name === "rate" ? rate : time));
    }
  }

  function say(text, bad) {
    const live = document.getElementById("live");
    live.textContent = text;
    live.classList.toggle("bad", bad);
  }

  /** Takes what is new of a page. What somebody has selected stays as it is: then nothing is taken, and the answer is false. */
  function take(page) {
    remember(page);
    document.title = page.title;
    if (!getSelection().isCollapsed) return false;
    for (const id of PARTS) {
      const [old, fresh] = [document.getElementById(id), page.getElementById(id)];
      if (written.get(id) === fresh.innerHTML) continue;
      written.set(id, fresh.innerHTML);
      old.replaceChildren(...fresh.childNodes);
    }
    drawAll();
    return true;
  }

  async function look() {
    try {
      const options = { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) };
      const answer = await fetch(location.pathname, options);
      if (!answer.ok) throw new Error(answer.status);
      // The style has the nonce of another answer, which the policy of this one refuses.
      const text = (await answer.text()).replace(/<style[^]*?<\/style>/, "");
      const taken = take(new DOMParser().parseFromString(text, "text/html"));
      answered = Date.now();
      say(taken ? "live" : "not updated while text is selected", false);
    } catch {
      say(`no answer for ${Math.round((Date.now() - answered) / 1000)} s; trying again`, true);
    }
  }

  // Nobody is asked while nobody looks.
  async function run() {
    for (;;) {
      if (!document.hidden) await look();
      await new Promise(done => setTimeout(done, INTERVAL_MS));
    }
  }

  remember(document);
  for (const id of PARTS) written.set(id, document.getElementById(id).innerHTML);
  say("live", false);
  run();
})();
