"""The addresses of the caught mails."""

app_name = "mailcatcher"
urlpatterns: list[object] = []
