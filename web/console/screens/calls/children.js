// Changes what an element holds without touching what stays, which would take focus and scroll from it.

/** Make `nodes` the children of `parent`, in this order. */
export function placeChildren(parent, nodes) {
  const wanted = new Set(nodes);
  for (const node of [...parent.children]) if (!wanted.has(node)) node.remove();
  let place = parent.firstElementChild;
  for (const node of nodes) {
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
}
