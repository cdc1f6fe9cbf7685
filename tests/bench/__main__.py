"""`make bench`: run all benchmarks, print a table of ratios, and write it to `DATA_DIR/bench/`."""

import json
import os
import tempfile
import time
from pathlib import Path

OUTPUT_DIR = Path(os.environ.get("DATA_DIR") or "var").resolve() / "bench"
os.environ["DATA_DIR"] = tempfile.mkdtemp(prefix="opsconsole-bench-")
os.environ["SECRET_KEY"] = "only for measuring " * 4
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"


def main() -> None:
    """Run every benchmark, and compare each with the alternative."""
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from tests.bench import asking, cleaning, publishing, results, storing

    rows = [*publishing.run(), *asking.run(), *storing.run(), *cleaning.run(), *results.run()]
    width = max(len(row["what"]) for row in rows)
    print(f"{'what':{width}}  {'rival':>12}  {'ours':>12}  ratio")
    for row in rows:
        print(
            f"{row['what']:{width}}  {row['rival']:>12,.1f}  {row['ours']:>12,.1f}  "
            f"{row['ratio']:.1f} × ({row['unit']})"
        )
    OUTPUT_DIR.mkdir(parents=True, exist_ok=True)
    path = OUTPUT_DIR / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.write_text(json.dumps(rows, indent=1))
    print(f"\nWritten to {path}")


if __name__ == "__main__":
    main()
