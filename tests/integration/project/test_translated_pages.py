"""What pages and mails say to who reads Chinese: Chinese, all of it."""

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
from tasks_admin.operations import summaries
from tests.support.catalog import not_chinese
from tests.support.factories import make_operation, make_result, make_users
from tests.support.pages import OPERATIONS, PERIODIC, QUEUES, RESULTS, USERS, WORKERS, choose, text
from tests.support.sending import asked, claimed, link_for


def words(response):
    """The words of a page."""
    return text(response) + " " + " ".join(attributes(response))


def attributes(response):
    """The words that stand in attributes."""
    html = response.content.decode()
    submits = re.findall(r'<input type="submit"[^>]*value="([^"]*)"', html)
    return submits + re.findall(r'(?:placeholder|title|aria-label)="([^"]*)"', html)


def english(response):
    """What a page says that is not Chinese: several Latin words, or a word that we translate."""
    nodes = re.sub(r"(?s)<(script|style).*?</\1>", "", response.content.decode())
    nodes = [" ".join(node.split()) for node in re.split(r"<[^>]*>", nodes)]
    djangos = {"- Select an option -"}  # new in Django 6.1, and in none of its catalogs
    return not_chinese([node for node in nodes if node not in djangos] + attributes(response))


@pytest.fixture
def client(alice):
    """A browser set to Chinese, as browsers spell it."""
    client = Client(headers={"accept-language": "zh-CN,zh;q=0.9,en;q=0.8"})
    client.force_login(alice)
    return client


@pytest.fixture
def ended(alice):
    """An operation in which something of everything happened."""
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
            ("/admin/", ["运维控制台", "概览", "正在进行", "4 个目标", "批量操作", "捕获的邮件"]),
            (USERS, ["发送密码重置邮件", "导入", "导出"]),
            (f"{USERS}export/", ["撇号", "列", "格式"]),
            (f"{USERS}import/", ["最多 20000 行", "新用户没有可用的密码"]),
            (OPERATIONS, ["操作类型", "操作人", "处理结果", "已完成 1，失败 1", "待审批"]),
            (RESULTS, ["任务", "参数", "排队时间", "开始时间", "结束时间", "耗时", "重试中"]),
            ("/user/reset/password/request/", ["申请新密码", "alice"]),
            ("/user/reset/password/done/", ["密码已修改"]),
            ("/user/reset/password/", ["操作未成功", "申请新链接"]),
            ("/admin/mail/", ["收件人地址", "尚未捕获任何邮件"]),
            ("/nowhere/", ["没有此页面"]),
        ],
    )
    def test_they_are_chinese(self, client, ended, settings, tmp_path, path, expected):
        settings.MAIL_CATCHER_DIR = tmp_path
        make_result(date_started=timezone.now())

        page = client.get(path)

        assert [word for word in expected if word not in words(page)] == []
        assert english(page) == []

    def test_what_is_not_allowed(self, client, mallory):
        client.force_login(mallory)

        page = client.get(USERS)

        assert "您没有此权限" in words(page)
        assert english(page) == []

    def test_an_operation(self, client, ended):
        page = client.get(f"{OPERATIONS}{ended.pk}/change/")

        assert "每分钟最多 30 个" in words(page)
        assert "4 个目标中已有 3 个处理完毕" in words(page)
        assert "第一个目标未成功" in words(page)
        assert "被邮件服务器拒绝" in words(page)
        assert "可能已发送两次" in words(page)
        assert "账户已不存在: 2" in words(page)
        assert english(page) == []

    def test_what_is_said_about_an_act(self, client, ended):
        client.post(f"{OPERATIONS}{ended.pk}/pause/", {"reason": "x"})
        client.post(f"{OPERATIONS}{ended.pk}/throttle/", {"rate": "x"})

        page = client.get(f"{OPERATIONS}{ended.pk}/change/")

        assert "的状态为“已暂停”：未做任何更改" in words(page)
        assert "速率必须是" in words(page)
        assert english(page) == []

    def test_the_confirmation_of_reset_mails(self, client, alice, make_user):
        users = [alice, make_user("ann", is_active=False)]

        page = choose(client, USERS, "send_reset_email", users)

        assert "将向 1 个用户发送邮件" in words(page)
        assert "账户未激活 1" in words(page)
        assert "选中的用户中包含超级用户： alice" in words(page)
        assert "发送密码重置邮件" in words(page)
        assert english(page) == []

    def test_the_confirmation_of_retries(self, client, alice):
        make_result()
        make_result("SUCCESS")

        page = choose(client, RESULTS, "retry_failed", Result.objects.all())

        assert "1 个失败的任务将重新排队" in words(page)
        assert "将重试 1" in words(page)
        assert english(page) == []

    @pytest.mark.parametrize("fields", [{}, {"task": "gone"}, {"task_args": '"(1,)"'}])
    def test_a_result(self, client, fields):
        result = make_result(**fields)

        page = client.get(f"{RESULTS}{result.pk}/change/")

        assert "任务结果" in words(page)
        assert ("重试失败的任务" in words(page)) == (not fields)
        assert ("无法重试：" in words(page)) == bool(fields)
        assert english(page) == []

    @pytest.mark.parametrize("count", [0, 1])
    def test_the_workers(self, client, monkeypatch, count):
        worker = WorkerView(name="w@h", pool="prefork", processes=2, uptime=98_061.0, total=7)
        taken = Snapshot(workers=[worker] * count, taken_at=time.monotonic())
        monkeypatch.setattr(control.snapshots, "_last", taken)

        page = client.get(WORKERS)

        assert ("1 天 3 小时" if count else "一秒内没有 Worker 应答") in words(page)
        assert english(page) == []

    def test_no_broker(self, client, monkeypatch, no_broker):
        monkeypatch.setattr(control.snapshots, "_last", None)

        page = client.get(WORKERS)

        assert "消息代理没有应答" in words(page)
        assert english(page) == []

    @pytest.mark.parametrize("path", ["", "mail/change/", "mail/purge_queue/"])
    def test_the_queues(self, client, no_broker, path):
        page = client.get(QUEUES + path)

        assert "队列" in words(page)
        assert english(page) == []

    @pytest.mark.parametrize("path", ["", "act/run_periodic/?name=housekeeping"])
    def test_periodic_tasks(self, client, path):
        page = client.get(PERIODIC + path)

        assert "周期任务" in words(page)
        assert english(page) == []

    def test_choosing_a_password(self, client, make_user):
        address = f"/user/reset/password/?token={link_for(make_user('ann'))}"

        page = client.get(address, follow=True)

        assert "账户： ann" in words(page)
        assert english(page) == []

    @pytest.mark.parametrize(
        ("file", "expected"),
        [
            (b"username,x\na,b\n", "以下列无法导入：x"),
            (b"username\n", "标题行之下没有数据"),
            (b"\xff", "这不是 UTF-8 编码的文本"),
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

        assert expected in words(page)
        assert english(page) == []


class TestMails:
    @pytest.fixture(autouse=True)
    def chinese(self, settings):
        settings.LANGUAGE_CODE = "zh-hans"
        settings.HOST_URL = "https://console.example.com"

    @pytest.mark.parametrize("name", ["reset", "changed"])
    def test_to_users(self, db, name):
        [user] = make_users(1)
        context = {"link": "https://console.example.com/x", "minutes": 60}

        mail = emails.build_email(name, user=user, target=asked(user), context=context)

        for part in (mail.subject, mail.body, mail.alternatives[0][0]):
            assert "console.example.com" in part
            assert not_chinese(re.split(r"<[^>]*>|\n", part)) == []
        assert "u00000，您好：" in mail.body

    def test_to_who_started_an_operation(self, ended, mailbox):
        User.objects.filter(pk=ended.actor_id).update(email="alice@mail.example")
        own = claimed(asked(User.objects.get(pk=ended.actor_id)))

        summaries.send(operation_pk=ended.pk, task_id=own.task_id)

        [mail] = mailbox.messages
        assert mail["Subject"] == f"#{ended.pk} 发送密码重置邮件：已暂停"
        for kind in ("plain", "html"):
            body = mail.get_body((kind,)).get_content()
            assert "已结束：等待中 1，已完成 1，失败 1，已跳过 1。" in body
            assert not_chinese(re.split(r"<[^>]*>|\n", body)) == []
