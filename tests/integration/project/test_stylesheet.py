"""The selectors of the stylesheet match the pages, so that renamed columns keep their style."""

import re

from django.contrib import admin

from opsconsole.environment import BASE_DIR
from tasks_admin.workers.overview import State

CSS = (BASE_DIR / "static" / "tasks_admin" / "console.css").read_text()
ADMINS = {model._meta.model_name: site for model, site in admin.site._registry.items()}


def test_models_have_an_admin():
    assert set(re.findall(r"\.model-(\w+)", CSS)) <= ADMINS.keys()


def test_fields_are_columns_of_their_list():
    for model, field in re.findall(r"\.model-(\w+) #result_list \.field-(\w+)", CSS):
        columns = {*ADMINS[model].list_display, *getattr(ADMINS[model], "columns", ())}
        assert field in columns, (model, field)


def test_worker_states_exist():
    assert set(re.findall(r"\.worker-(\w+)", CSS)) <= set(State.values)
