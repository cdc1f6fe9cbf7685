"""The public pages: set a password with the link of a reset email, and request such an email."""

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

from tasks_admin import accounts
from tasks_admin.accounts import rate_limits
from tasks_admin.accounts.forms import RequestResetEmailForm, SetPasswordForm
from tasks_admin.lib.conf import settings
from tasks_admin.lib.errors import ConsoleError

SESSION_KEY = "tasks_admin.reset_token"


@method_decorator([never_cache, sensitive_post_parameters()], name="dispatch")
class SensitiveView(View):
    """A page that is not cached, whose URL other sites do not see and whose form is not logged."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Set the referrer policy; turn the console's errors into responses, for all subclasses."""
        try:
            response = super().dispatch(request, *args, **kwargs)
        except ConsoleError as error:
            response = self.error_response(request, error)
        # "no-referrer" would make browsers send "Origin: null", which Django's CSRF check refuses.
        response["Referrer-Policy"] = "same-origin"
        return response

    def error_response(self, request: HttpRequest, error: ConsoleError) -> HttpResponse:
        """Show the error on a page of its own, with its status."""
        context = {"error": error}
        return render(request, "tasks_admin/accounts/error.html", context, status=error.status)


class SetPasswordView(SensitiveView):
    """Set a new password. GET and HEAD change nothing: mail scanners open links."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Move the token from the URL to the session, then show the form."""
        if "token" in request.GET:
            accounts.user_of_link(request.GET["token"])
            request.session.cycle_key()  # an attacker who planted this session gets no token
            request.session[SESSION_KEY] = request.GET["token"]
            return redirect("tasks_admin:set_password")
        user = accounts.user_of_link(request.session.get(SESSION_KEY))
        return self._page(request, SetPasswordForm(user))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Set the password. Attempts are counted before a password is hashed."""
        token = request.session.get(SESSION_KEY)
        user = accounts.user_of_link(token)
        rate_limits.count_attempt("choose.client", client_address(request))
        rate_limits.count_attempt("choose.link", user.pk)
        form = SetPasswordForm(user, request.POST)
        if not form.is_valid():
            return self._page(request, form)
        accounts.set_password(token=token, password=form.cleaned_data["new_password1"])
        request.session.pop(SESSION_KEY, None)
        return redirect("tasks_admin:set_password_done")

    def _page(self, request: HttpRequest, form: SetPasswordForm) -> HttpResponse:
        return render(request, "tasks_admin/accounts/set_password.html", {"form": form})


class SetPasswordDoneView(SensitiveView, TemplateView):
    """The password was changed."""

    template_name = "tasks_admin/accounts/set_password_done.html"


class RequestResetEmailView(SensitiveView):
    """Request a reset email: for the signed-in user, or for the account with an email address."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show the form."""
        form = RequestResetEmailForm(signed_in=request.user.is_authenticated)
        return self._page(request, form)

    def post(self, request: HttpRequest) -> HttpResponse:
        """Queue the email; the response does not depend on whether the account exists."""
        form = self._form(request)
        if not form.is_valid():
            return self._respond(request, form, 400, _("Enter a valid email address."))
        detail, data = self._queue(request, form)
        return self._respond(request, form, 202, detail, **data)

    def error_response(self, request: HttpRequest, error: ConsoleError) -> HttpResponse:
        """Show the error above the form, or as JSON."""
        return self._respond(request, self._form(request), error.status, str(error))

    def _queue(
        self, request: HttpRequest, form: RequestResetEmailForm
    ) -> tuple[str, dict[str, str]]:
        """Count the attempt and queue the email; return the message, and further data for JSON."""
        if isinstance(request.user, get_user_model()):
            rate_limits.count_attempt("request.user", request.user.pk)
            task_id = accounts.request_own_reset_email(request.user)
            return _("An email with a link is on its way to you."), {"task_id": task_id}
        address = form.cleaned_data["email"]
        rate_limits.count_attempt("request.client", client_address(request))
        rate_limits.count_attempt("request.address", accounts.normalize_address(address))
        users = accounts.users_with_address(address)
        accounts.request_reset_emails(users=users, actor=None)
        return _("If an account has this address, an email with a link is on its way."), {}

    def _form(self, request: HttpRequest) -> RequestResetEmailForm:
        return RequestResetEmailForm(_data(request), signed_in=request.user.is_authenticated)

    def _respond(
        self,
        request: HttpRequest,
        form: RequestResetEmailForm,
        status: int,
        detail: str,
        **data: str,
    ) -> HttpResponse:
        if _wants_json(request):
            return JsonResponse({"detail": detail} | data, status=status)
        context = {"success": detail} if status == 202 else {"error": detail}
        return self._page(request, form, status, **context)

    def _page(
        self, request: HttpRequest, form: RequestResetEmailForm, status: int = 200, **context: Any
    ) -> HttpResponse:
        context |= {"form": form}
        template = "tasks_admin/accounts/request_reset_email.html"
        return render(request, template, context, status=status)


def client_address(request: HttpRequest) -> str:
    """The IP address of the client, from the server or from the proxy in front of it.

    Of several addresses the last one counts: the proxy appended it. The client can forge the rest.
    """
    value = request.META.get(settings.CLIENT_ADDRESS_KEY) or request.META.get("REMOTE_ADDR", "")
    return str(value).rpartition(",")[2].strip()


def _wants_json(request: HttpRequest) -> bool:
    return request.content_type == "application/json" or (
        request.get_preferred_type(["text/html", "application/json"]) == "application/json"
    )


def _data(request: HttpRequest) -> Any:
    """The submitted form or JSON object; invalid input is an empty form."""
    if request.content_type != "application/json":
        return request.POST
    try:
        data = json.loads(request.body or b"{}")
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
