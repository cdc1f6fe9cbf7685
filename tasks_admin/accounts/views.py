"""The page behind the link in a reset mail, and the page that asks for such a mail."""

import json
from typing import Any

from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import TemplateView

from tasks_admin.accounts import rate_limits, resets
from tasks_admin.accounts.forms import ChooseForm, RequestForm
from tasks_admin.lib.conf import settings
from tasks_admin.lib.errors import LinkRefused, RateLimited

SESSION_KEY = "tasks_admin.reset_token"


@method_decorator([never_cache, sensitive_post_parameters()], name="dispatch")
class PrivateView(View):
    """Not cached, and no part of its address or form is passed on or logged."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Say to browsers whom the page's address may be told: nobody else."""
        response = super().dispatch(request, *args, **kwargs)
        # "no-referrer" would make browsers send "Origin: null", which Django's CSRF check refuses.
        response["Referrer-Policy"] = "same-origin"
        return response


class ChooseView(PrivateView):
    """Choose a new password. GET and HEAD change nothing: mail scanners open links."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Move the token out of the address, then show the form."""
        if "token" in request.GET:
            try:
                resets.holder(request.GET["token"])
            except LinkRefused as error:
                return self._refused(request, error)
            request.session.cycle_key()  # whoever knew this session's key gets no token with it
            request.session[SESSION_KEY] = request.GET["token"]
            return redirect("tasks_admin:choose")
        try:
            user = resets.holder(request.session.get(SESSION_KEY))
        except LinkRefused as error:
            return self._refused(request, error)
        return self._form(request, ChooseForm(user))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Set the password; limited before anything is hashed."""
        token = request.session.get(SESSION_KEY)
        try:
            user = resets.holder(token)
            rate_limits.hit("choose.client", client_of(request))
            rate_limits.hit("choose.link", user.pk)
            form = ChooseForm(user, request.POST)
            if not form.is_valid():
                return self._form(request, form)
            resets.choose(token=token, password=form.cleaned_data["new_password1"])
        except LinkRefused as error:
            return self._refused(request, error)
        except RateLimited as error:
            return render(request, "tasks_admin/resets/refused.html", {"error": error}, status=429)
        request.session.pop(SESSION_KEY, None)
        return redirect("tasks_admin:chosen")

    def _form(self, request: HttpRequest, form: Any) -> HttpResponse:
        return render(request, "tasks_admin/resets/choose.html", {"form": form})

    def _refused(self, request: HttpRequest, error: LinkRefused) -> HttpResponse:
        context = {"error": error}
        return render(request, "tasks_admin/resets/refused.html", context, status=error.status)


class DoneView(PrivateView, TemplateView):
    """The password was changed."""

    template_name = "tasks_admin/resets/chosen.html"


class RequestView(PrivateView):
    """Ask for a reset mail: for oneself when signed in, by address when not."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show the form."""
        return self._page(request, RequestForm(signed_in=request.user.is_authenticated))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Queue the mail; the answer is the same whether or not anybody has that address."""
        form = RequestForm(_data(request), signed_in=request.user.is_authenticated)
        if not form.is_valid():
            return self._answer(request, form, 400, _("Enter a valid e-mail address."))
        try:
            said, more = self._request(request, form)
        except RateLimited as error:
            return self._answer(request, form, 429, str(error))
        return self._answer(request, form, 202, said, **more)

    def _request(self, request: HttpRequest, form: RequestForm) -> tuple[str, dict[str, str]]:
        """Count the try and queue the mail; return the answer, and what goes with it in JSON."""
        if isinstance(request.user, get_user_model()):
            rate_limits.hit("request.user", request.user.pk)
            task_id = resets.request_own(request.user)
            return _("A mail with a link is on its way to you."), {"task_id": task_id}
        address = form.cleaned_data["email"]
        rate_limits.hit("request.client", client_of(request))
        rate_limits.hit("request.address", resets.folded(address))
        resets.request(users=resets.holders_of(address), actor=None)
        return _("If there is an account with this address, a mail with a link is on its way."), {}

    def _answer(
        self, request: HttpRequest, form: RequestForm, status: int, said: str, **more: str
    ) -> HttpResponse:
        if _wants_json(request):
            return JsonResponse({"detail": said} | more, status=status)
        context = {"said": said} if status == 202 else {"error": said}
        return self._page(request, form, status, **context)

    def _page(
        self, request: HttpRequest, form: RequestForm, status: int = 200, **context: Any
    ) -> HttpResponse:
        context |= {"form": form}
        return render(request, "tasks_admin/resets/request.html", context, status=status)


def client_of(request: HttpRequest) -> str:
    """The client's address, as the server or the proxy in front of it tells.

    Of several the last counts: that one the proxy saw, the others anybody can send.
    """
    told = request.META.get(settings.CLIENT_ADDRESS_KEY) or request.META.get("REMOTE_ADDR", "")
    return str(told).rpartition(",")[2].strip()


def _wants_json(request: HttpRequest) -> bool:
    return request.content_type == "application/json" or (
        request.get_preferred_type(["text/html", "application/json"]) == "application/json"
    )


def _data(request: HttpRequest) -> Any:
    """The posted form or JSON object; nonsense is an empty form."""
    if request.content_type != "application/json":
        return request.POST
    try:
        data = json.loads(request.body or b"{}")
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
