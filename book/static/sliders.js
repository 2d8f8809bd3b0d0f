// Figures with sliders. Every state is in the page: a slider shows the parts that belong to its place and hides the others.
for (const figure of document.querySelectorAll("[data-slider]")) {
  const sliders = [...figure.querySelectorAll("input[type=range]")];
  const parts = [...figure.querySelectorAll("[data-when]")];
  const update = () => {
    const places = new Set(sliders.map((slider) => `${slider.name}=${slider.value}`));
    for (const part of parts) {
      part.hidden = !part.dataset.when.split(" ").every((place) => place === "" || places.has(place));
    }
    for (const slider of sliders) {
      const stop = slider.dataset.stops.split("|")[slider.value];
      slider.setAttribute("aria-valuetext", stop);
      slider.nextElementSibling.value = stop;
    }
  };
  figure.addEventListener("input", update);
  figure.querySelector(".slider-controls").hidden = false;
  figure.querySelector(".slider-start").hidden = true;
  update();
}
