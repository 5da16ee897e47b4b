"use strict";
// The film of a scenario's page: each picture is what differs from the one before it, painted on a canvas.
{
  const { rate, pictures } = JSON.parse(document.getElementById("film").textContent);
  const canvas = document.querySelector("canvas");
  const context = canvas.getContext("2d");
  const player = document.querySelector(".player");
  const [button, slider, label] = player.children;
  const images = pictures.map(([, , , data]) => {
    if (!data) return null;
    const image = new Image();
    image.src = `data:image/png;base64,${data}`;
    return image;
  });
  let shown = -1;
  let timer = 0;

  function show(k) {
    if (k < shown) shown = -1; // the pictures only add: an earlier one is painted from the first on
    while (shown < k) {
      shown++;
      if (images[shown]) context.drawImage(images[shown], pictures[shown][1], pictures[shown][2]);
    }
    slider.value = k;
    label.textContent = `step ${pictures[k][0]}`;
    slider.setAttribute("aria-valuetext", label.textContent);
  }

  function stop() {
    clearInterval(timer);
    timer = 0;
    button.textContent = "Play";
  }

  function play() {
    if (shown >= pictures.length - 1) show(0);
    button.textContent = "Pause";
    timer = setInterval(() => (shown < pictures.length - 1 ? show(shown + 1) : stop()), 1000 / rate);
  }

  Promise.all(images.map((image) => image && image.decode())).then(() => {
    document.querySelector("figure svg").style.display = "none";
    canvas.hidden = player.hidden = false;
    show(pictures.length - 1);
    button.addEventListener("click", () => (timer ? stop() : play()));
    slider.addEventListener("input", () => {
      stop();
      show(Number(slider.value));
    });
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) play();
  });
}
