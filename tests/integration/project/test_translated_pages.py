"""Pages and emails for Chinese readers contain no English."""

import re
import time

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from tasks_admin.integrations import control
from tasks_admin.integrations.control import Snapshot, WorkerView
from tasks_admin.integrations.mail import emails
from tasks_admin.models import Operation, Result
from tasks_admin.operations import notifications
from tests.support.catalog import not_chinese
from tests.support.factories import make_operation, make_result, make_users
from tests.support.pages import (
    OPERATIONS,
    PERIODIC,
    QUEUES,
    RESULTS,
    USERS,
    WORKERS,
    page_text,
    run_action,
)
from tests.support.reset_emails import make_token, publish_and_claim, request_email


def visible_text(response):
    """Return the text of a page, including the attributes that browsers show."""
    return page_text(response) + " " + " ".join(visible_attributes(response))


def visible_attributes(response):
    """Return the values of attributes that browsers show."""
    html = response.content.decode()
    submits = re.findall(r'<input type="submit"[^>]*value="([^"]*)"', html)
    return submits + re.findall(r'(?:placeholder|title|aria-label)="([^"]*)"', html)


def english_texts(response):
    """Return the untranslated texts of a page: several Latin words, or a translatable word."""
    nodes = re.sub(r"(?s)<(script|style).*?</\1>", "", response.content.decode())
    nodes = [" ".join(node.split()) for node in re.split(r"<[^>]*>", nodes)]
    untranslated = {"- Select an option -"}  # new in Django 6.1, missing in its catalogs
    return not_chinese(
        [node for node in nodes if node not in untranslated] + visible_attributes(response)
    )


@pytest.fixture
def client(alice):
    """A client of a superuser whose browser prefers Chinese."""
    client = Client(headers={"accept-language": "zh-CN,zh;q=0.9,en;q=0.8"})
    client.force_login(alice)
    return client


@pytest.fixture
def operation(alice):
    """A paused operation with targets of each outcome."""
    operation = make_operation(4, actor=alice)
    first, second, third, fourth = operation.targets.order_by("pk")
    now = timezone.now()
    for target, fields in (
        (first, {"state": "done", "uncertain": True, "attempt": 1, "finished_at": now}),
        (second, {"state": "failed", "reason": "refused", "attempt": 1, "finished_at": now}),
        (third, {"state": "skipped", "reason": "recent"}),
        (fourth, {"state": "waiting", "reason": "broker"}),
    ):
        operation.targets.filter(pk=target.pk).update(**fields)
    changed = {"rate": 30, "excluded": {"gone": 2}, "pause_reason": "canary", "state": "paused"}
    Operation.objects.filter(pk=operation.pk).update(**changed)
    return Operation.objects.get(pk=operation.pk)


class TestPages:
    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            ("/admin/", ["运维控制台", "概览", "进行中的批量操作", "4 个目标", "捕获的邮件"]),
            (USERS, ["发送密码重置邮件", "导入", "导出"]),
            (f"{USERS}export/", ["单引号", "列", "格式"]),
            (f"{USERS}import/", ["最多 20,000 行", "新用户没有可用的密码"]),
            (
                OPERATIONS,
                ["操作类型", "操作人", "开始时间", "处理结果", "已完成 1，失败 1", "待审批"],
            ),
            (RESULTS, ["任务", "参数", "排队时间", "开始时间", "结束时间", "耗时", "重试中"]),
            ("/user/reset/password/request/", ["重置密码", "发送密码重置邮件", "alice"]),
            ("/user/reset/password/done/", ["密码已修改"]),
            ("/user/reset/password/", ["此链接无效", "申请新链接"]),
            ("/admin/mail/", ["搜索收件人（最近", "尚无邮件"]),
            ("/nowhere/", ["找不到页面"]),
        ],
    )
    def test_they_are_chinese(self, client, operation, settings, tmp_path, path, expected):
        settings.MAIL_CATCHER_DIR = tmp_path
        make_result(date_started=timezone.now())

        page = client.get(path)

        assert [phrase for phrase in expected if phrase not in visible_text(page)] == []
        assert english_texts(page) == []

    def test_permission_denied(self, client, mallory):
        client.force_login(mallory)

        page = client.get(USERS)

        assert "您没有查看此页面的权限" in visible_text(page)
        assert english_texts(page) == []

    def test_an_operation(self, client, operation):
        page = client.get(f"{OPERATIONS}{operation.pk}/change/")

        assert "每分钟最多 30 个" in visible_text(page)
        assert "共 4 个目标，已结束 3 个" in visible_text(page)
        assert "先试的目标失败" in visible_text(page)
        assert "投递被拒绝" in visible_text(page)
        assert "可能已发送两次" in visible_text(page)
        assert "账户已不存在: 2" in visible_text(page)
        assert english_texts(page) == []

    def test_messages_about_a_rejected_action(self, client, operation):
        url = f"{OPERATIONS}{operation.pk}/"

        paused = client.post(f"{url}pause/", {"reason": "x"}, follow=True)
        wrong_rate = client.post(f"{url}throttle/", {"reason": "x", "rate": "x"})

        assert "的状态为“已暂停”。未做任何更改" in visible_text(paused)
        assert "输入整数" in visible_text(wrong_rate)
        assert english_texts(paused) + english_texts(wrong_rate) == []

    def test_the_confirmation_of_reset_emails(self, client, alice, make_user):
        users = [alice, make_user("ann", is_active=False)]

        page = run_action(client, USERS, "send_reset_email", users)

        assert "1 个用户将收到密码重置邮件" in visible_text(page)
        assert "账户未激活 1" in visible_text(page)
        assert "选中的用户中包含超级用户： alice" in visible_text(page)
        assert "发送密码重置邮件" in visible_text(page)
        assert english_texts(page) == []

    def test_the_confirmation_of_retries(self, client, alice):
        make_result()
        make_result("SUCCESS")

        page = run_action(client, RESULTS, "retry_failed", Result.objects.all())

        assert "1 个失败的任务将重新排队" in visible_text(page)
        assert "将重试 1" in visible_text(page)
        assert english_texts(page) == []

    @pytest.mark.parametrize("fields", [{}, {"task": "gone"}, {"task_args": '"(1,)"'}])
    def test_a_result(self, client, fields):
        result = make_result(**fields)

        page = client.get(f"{RESULTS}{result.pk}/change/")

        assert "任务结果" in visible_text(page)
        assert ('value="retry_failed">重试<' in page.content.decode()) == (not fields)
        assert ("无法重试：" in visible_text(page)) == bool(fields)
        assert english_texts(page) == []

    @pytest.mark.parametrize("count", [0, 1])
    def test_the_workers(self, client, monkeypatch, count):
        worker = WorkerView(name="w@h", pool="prefork", processes=2, uptime=98_061.0, total=7)
        never_stale = time.monotonic() + 3600
        snapshot = Snapshot(workers=[worker] * count, taken_at=never_stale)
        monkeypatch.setattr(control.snapshots, "_last", snapshot)

        page = client.get(WORKERS)

        assert ("1 天 3 小时" if count else "一秒内没有 Worker 应答") in visible_text(page)
        assert english_texts(page) == []

    def test_the_workers_without_a_broker(self, client, monkeypatch, no_broker):
        monkeypatch.setattr(control.snapshots, "_last", None)

        page = client.get(WORKERS)

        assert "消息代理无响应" in visible_text(page)
        assert english_texts(page) == []

    @pytest.mark.parametrize("path", ["", "mail/change/", "mail/purge_queue/"])
    def test_the_queues(self, client, no_broker, path):
        page = client.get(QUEUES + path)

        assert "队列" in visible_text(page)
        assert english_texts(page) == []

    @pytest.mark.parametrize("path", ["", "action/run_periodic/?name=housekeeping"])
    def test_periodic_tasks(self, client, path):
        page = client.get(PERIODIC + path)

        assert "周期任务" in visible_text(page)
        assert english_texts(page) == []

    def test_choosing_a_password(self, client, make_user):
        url = f"/user/reset/password/?token={make_token(make_user('ann'))}"

        page = client.get(url, follow=True)

        assert "请将账户 ann 的新密码输入两次" in visible_text(page)
        assert english_texts(page) == []

    @pytest.mark.parametrize(
        ("file", "expected"),
        [
            (b"username,x\na,b\n", "以下列无法导入：x"),
            (b"username\n", "标题行之后没有任何行"),
            (b"\xff", "文件不是 UTF-8 编码的文本"),
            (b"username\na\na\n", "在文件中重复出现"),
            (b"username\nann\n", "新增：1。修改：0。"),
        ],
    )
    def test_an_import(self, client, tmp_path, settings, file, expected):
        settings.DATA_DIR = tmp_path
        upload = tmp_path / "users.csv"
        upload.write_bytes(file)

        with upload.open("rb") as content:
            page = client.post(f"{USERS}import/", {"import_file": content, "format": "0"})

        assert expected in visible_text(page)
        assert english_texts(page) == []


class TestEmails:
    @pytest.fixture(autouse=True)
    def chinese(self, settings):
        settings.LANGUAGE_CODE = "zh-hans"
        settings.HOST_URL = "https://console.example.com"

    @pytest.mark.parametrize("name", ["password_reset", "password_changed"])
    def test_emails_to_users(self, db, name):
        [user] = make_users(1)
        context = {"link": "https://console.example.com/x", "minutes": 60}

        email = emails.build_email(name, user=user, target=request_email(user), context=context)

        for part in (email.subject, email.body, email.alternatives[0][0]):
            assert not_chinese(re.split(r"<[^>]*>|\n", part)) == []
        assert "u00000，您好：" in email.body
        assert "console.example.com" in email.body

    def test_summaries_to_the_actor_of_an_operation(self, operation, mailbox):
        User.objects.filter(pk=operation.actor_id).update(email="alice@mail.example")
        target = publish_and_claim(request_email(User.objects.get(pk=operation.actor_id)))

        notifications.send(subject=f"email:{operation.pk}", task_id=target.task_id)

        [email] = mailbox.messages
        sent = "等待中 1，已发送 1，失败 1，已跳过 1"
        assert email["Subject"].strip() == f"密码重置邮件：{sent}"  # after a fold
        for kind in ("plain", "html"):
            body = email.get_body((kind,)).get_content()
            assert f"您的批量操作 #{operation.pk} 已结束。" in body
            assert f"密码重置邮件：{sent}" in body
            assert not_chinese(re.split(r"<[^>]*>|\n", body)) == []
