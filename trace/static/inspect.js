/* Brings the lot that was asked for into view where the picture of the graph is wider than the screen. */
const box = document.getElementById("graph");
const focus = box?.querySelector(".lot--focus rect");
if (focus) {
  const middle = Number(focus.getAttribute("x")) + Number(focus.getAttribute("width")) / 2;
  box.scrollLeft = middle - box.clientWidth / 2;
}
