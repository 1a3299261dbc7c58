"use strict";
(() => {
  const cards = [...document.querySelectorAll(".card")];
  const toolbar = document.querySelector(".toolbar");
  if (!toolbar) return;
  const slider = document.getElementById("threshold");
  const steps = Number(slider.max);
  const mark = document.getElementById("mark");
  const objects = document.getElementById("objects");
  const visible = new Set();
  const levels = new Map(); // card -> {width, height, values}, read once, when first painted

  const press = (group, view) => {
    for (const button of group.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.dataset.view === view));
    }
  };

  const show = (card, view) => {
    const picture = card.querySelector(`img[data-view="${view}"]`);
    if (!picture) return;
    if (!picture.hasAttribute("src")) picture.src = picture.dataset.src;
    for (const other of card.querySelectorAll("img")) other.hidden = other !== picture;
    card.dataset.view = view;
    card.querySelector(".caption .text").textContent = card.querySelector(`button[data-view="${view}"]`).title;
    press(card, view);
    paint(card);
  };

  const showAll = (view) => {
    press(toolbar, view);
    for (const card of cards) show(card, view);
  };

  const readLevels = async (card) => {
    const picture = new Image();
    picture.src = card.dataset.levels;
    await picture.decode();
    const { naturalWidth: width, naturalHeight: height } = picture;
    const context = new OffscreenCanvas(width, height).getContext("2d");
    context.drawImage(picture, 0, 0);
    const pixels = context.getImageData(0, 0, width, height).data;
    return { width, height, values: pixels.filter((_, index) => index % 4 === 0) };
  };

  const paint = async (card) => {
    const canvas = card.querySelector("canvas");
    if (!canvas || !card.dataset.levels) return;
    canvas.hidden = !mark.checked || card.dataset.view !== "image";
    if (canvas.hidden || !visible.has(card)) return;
    if (!levels.has(card)) levels.set(card, readLevels(card));
    const { width, height, values } = await levels.get(card);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const overlay = new ImageData(width, height);
    const colors = new Uint32Array(overlay.data.buffer);
    const threshold = (slider.value / steps) * 255;
    for (let index = 0; index < values.length; index++) {
      if (values[index] > threshold) colors[index] = 0x99a800ff; // #ff00a8, 60 % opaque
    }
    canvas.getContext("2d").putImageData(overlay, 0, 0);
  };

  const update = () => {
    document.getElementById("threshold-value").value = (slider.value / steps).toFixed(2);
    for (const card of cards) {
      const output = card.querySelector(".flagged output");
      if (output) output.value = `${(100 * JSON.parse(card.dataset.flagged)[slider.value]).toFixed(1)} %`;
    }
    visible.forEach(paint);
  };

  const outline = () => {
    for (const boxes of document.querySelectorAll("svg.objects")) boxes.classList.toggle("off", !objects.checked);
  };

  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      visible[isIntersecting ? "add" : "delete"](target);
      if (isIntersecting) paint(target);
    }
  }, { rootMargin: "300px" });
  cards.forEach((card) => observer.observe(card));

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
  update();
})();
