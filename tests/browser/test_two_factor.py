"""Two-factor login in a browser: set it up, log out, and log in with a code and with a recovery code."""

import re

import pytest

from fluxori.identity.models import User
from tests.browser.conftest import PASSWORD
from tests.support.two_factor import code_of

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


class TestTwoFactorLogin:
    def test_is_set_up_and_then_asked_for(self, log_in):
        User.objects.create_superuser("root@example.test", PASSWORD)
        staff = log_in("root@example.test", viewport={"width": 1280, "height": 900})
        staff.page.goto("/admin/two-factor/")
        box = staff.page.locator(".console-qr svg").bounding_box()
        assert (round(box["width"]), round(box["height"])) == (200, 200)
        key = staff.page.locator(".console-key").inner_text()

        staff.page.fill("input[name=code]", code_of(key))
        staff.page.get_by_role("button", name="Turn two-factor login on").click()
        staff.page.locator(".console-codes").wait_for()
        codes = re.findall(r"[0-9a-f]{10}", staff.page.locator(".console-codes").inner_text())
        assert len(codes) == 10
        staff.page.get_by_role("link", name="I have kept them").click()
        staff.page.wait_for_url("**/admin/")

        staff.context.clear_cookies()
        staff.page.goto("/admin/login/?next=/admin/find/")
        staff.page.fill("input[name=username]", "root@example.test")
        staff.page.fill("input[name=password]", PASSWORD)
        staff.page.press("input[name=password]", "Enter")
        staff.page.wait_for_url("**/two-factor/verify/**")
        staff.page.keyboard.type("000000 ")
        staff.page.keyboard.press("Enter")
        staff.page.get_by_text("This code is wrong").wait_for()
        staff.page.fill("input[name=code]", codes[0])
        staff.page.get_by_role("button", name="Continue").click()
        staff.page.wait_for_url("**/admin/find/")

        staff.page.goto("/admin/two-factor/")
        assert "9 recovery codes left" in staff.text()

    def test_fits_a_phone(self, log_in):
        User.objects.create_superuser("root@example.test", PASSWORD)
        staff = log_in("root@example.test", viewport={"width": 360, "height": 740})

        staff.page.goto("/admin/two-factor/")

        assert not staff.page.evaluate("document.documentElement.scrollWidth > window.innerWidth + 1")
