// The pages to which the links in mails lead: they send the token of the link to the API.
"use strict";

const form = document.querySelector("form");
const status = document.querySelector("[role=status]");
const token = new URLSearchParams(location.hash.slice(1)).get("token") || "";
// The token does not stay in the address bar and in the history.
history.replaceState(null, "", location.pathname);

async function post(path, body, access) {
    const headers = {"Content-Type": "application/json"};
    if (access) headers.Authorization = `Bearer ${access}`;
    const response = await fetch(path, {method: "POST", headers, body: JSON.stringify(body)});
    const text = await response.text();
    const data = text ? JSON.parse(text) : {};
    if (!response.ok) throw new Error(data.errors ? data.errors.map((each) => each.detail).join(" ") : data.detail);
    return data;
}

const actions = {
    async password(fields) {
        await post("/api/auth/password/reset/confirm", {token, password: fields.password});
        return "The password is set. You can log in with it.";
    },
    async email(fields) {
        const {access, refresh} = await post("/api/auth/token", fields);
        try {
            await post("/api/auth/email/confirm", {token}, access);
        } finally {
            await post("/api/auth/logout", {refresh});
        }
        return "The address is changed.";
    },
};

form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    try {
        status.textContent = await actions[form.dataset.page](Object.fromEntries(new FormData(form)));
        form.hidden = true;
    } catch (error) {
        status.textContent = error.message || "The server cannot be reached. Try again.";
        button.disabled = false;
    }
});
