"use strict";
// Shows the findings of the chosen states that hold what is written in the field. Nothing leaves the page.
(() => {
  const boxes = [...document.querySelectorAll(".filter input[type=checkbox]")];
  const find = document.querySelector(".find");
  const shown = document.querySelector(".shown");
  const findings = [...document.querySelectorAll(".finding")].map((node) => ({
    node, state: node.dataset.state, text: node.textContent.toLowerCase(),
  }));
  const apply = () => {
    const states = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const { node, state, text } of findings) {
      node.hidden = !states.has(state) || !words.every((word) => text.includes(word));
      count += node.hidden ? 0 : 1;
    }
    for (const part of document.querySelectorAll(".findings, .group")) {
      part.hidden = !part.querySelector(".finding:not([hidden])");
    }
    shown.textContent = `${count} of ${findings.length} shown`;
  };
  for (const input of [...boxes, find]) input.addEventListener("input", apply);
  // A link must not lead to something that is hidden.
  for (const link of document.querySelectorAll(".groups a, .urgent a")) {
    link.addEventListener("click", () => {
      const goal = document.querySelector(link.getAttribute("href"));
      if (!goal || !goal.closest("[hidden]")) return;
      for (const box of boxes) box.checked = true;
      find.value = "";
      apply();
    });
  }
  document.querySelector(".filter").hidden = false;
  apply();
})();
