"use strict";
(() => {
  const cards = [...document.querySelectorAll(".card")];
  const toolbar = document.querySelector(".toolbar");
  if (!toolbar) return;
  const slider = document.getElementById("threshold");
  const steps = Number(slider.max);
  const mark = document.getElementById("mark");
  const objects = document.getElementById("objects");

  const press = (group, view) => {
    for (const button of group.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.dataset.view === view));
    }
  };

  const show = (card, view) => {
    const picture = card.querySelector(`img[data-view="${view}"]`);
    if (!picture) return;
    if (!picture.hasAttribute("src")) picture.src = picture.dataset.src;
    for (const other of card.querySelectorAll("img[data-view]")) other.hidden = other !== picture;
    card.dataset.view = view;
    card.querySelector(".caption .text").textContent = card.querySelector(`button[data-view="${view}"]`).title;
    press(card, view);
    paint(card);
  };

  const showAll = (view) => {
    press(toolbar, view);
    for (const card of cards) show(card, view);
  };

  // The marks are the error map, of which a filter shows what is above the threshold: alpha = SHARP * (level - threshold).
  // No pixel is read, so the page works from disk, where a canvas may not read its neighbours.
  const SHARP = 255 * 64;
  const filter = (() => {
    const [svg, filter, matrix] = ["svg", "filter", "feColorMatrix"].map((name) =>
      document.createElementNS("http://www.w3.org/2000/svg", name));
    svg.setAttribute("style", "position: absolute; width: 0; height: 0");
    filter.id = "above";
    filter.setAttribute("color-interpolation-filters", "sRGB");
    filter.append(matrix);
    svg.append(filter);
    document.body.append(svg);
    return matrix;
  })();
  const paint = (card) => {
    const marks = card.querySelector("img.marked");
    if (marks) marks.hidden = !mark.checked || card.dataset.view !== "image";
  };

  const update = () => {
    document.getElementById("threshold-value").value = (slider.value / steps).toFixed(2);
    for (const card of cards) {
      const output = card.querySelector(".flagged output");
      if (output) output.value = `${(100 * JSON.parse(card.dataset.flagged)[slider.value]).toFixed(1)} %`;
    }
    const alpha = `${SHARP} 0 0 0 ${-SHARP * (slider.value / steps)}`;
    filter.setAttribute("values", `0 0 0 0 1  0 0 0 0 0  0 0 0 0 0.66  ${alpha}`);
  };

  const outline = () => {
    for (const boxes of document.querySelectorAll("svg.objects")) boxes.classList.toggle("off", !objects.checked);
  };

  document.addEventListener("click", ({ target }) => {
    const button = target.closest("button[data-view]");
    if (!button) return;
    const card = button.closest(".card");
    if (card) show(card, button.dataset.view);
    else showAll(button.dataset.view);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const button = toolbar.querySelectorAll("button")[Number(event.key) - 1];
    if (button) showAll(button.dataset.view);
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step && event.target !== slider) {
      slider.value = Number(slider.value) + step;
      update();
    }
  });
  slider.addEventListener("input", update);
  mark.addEventListener("change", () => cards.forEach(paint));
  if (objects) {
    objects.addEventListener("change", outline);
    outline();
  }
  cards.forEach(paint);
  update();
})();
