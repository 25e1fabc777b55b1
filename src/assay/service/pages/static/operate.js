// Questions before what cannot be undone, and a button that copies a new key.

const dialog = document.getElementById("sure");

for (const form of document.querySelectorAll("form[data-sure]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.agreed) return;
    event.preventDefault();
    document.getElementById("sure-said").textContent = form.dataset.sure;
    dialog.returnValue = "";
    dialog.showModal();
    dialog.addEventListener(
      "close",
      () => {
        if (dialog.returnValue !== "yes") return;
        form.dataset.agreed = "yes";
        form.requestSubmit(event.submitter ?? undefined);
      },
      { once: true },
    );
  });
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = button.dataset.copied;
  });
}

document.querySelector(".new-key")?.scrollIntoView({ block: "center" });
