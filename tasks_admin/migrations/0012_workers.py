from django.db import migrations, models


class Migration(migrations.Migration):
    """Workers get a table. Until now the model had none: there is nothing to keep."""

    dependencies = [
        ('tasks_admin', '0011_chosen_columns'),
    ]

    operations = [
        migrations.DeleteModel(name='Worker'),
        migrations.CreateModel(
            name='Worker',
            fields=[
                ('name', models.CharField(max_length=255, primary_key=True, serialize=False, verbose_name='name')),
                ('start', models.UUIDField()),
                ('started_at', models.DateTimeField(verbose_name='started')),
                ('seen_at', models.DateTimeField(db_index=True, verbose_name='last sign of life')),
                ('stopped_at', models.DateTimeField(null=True, verbose_name='stopped')),
                ('doubled_at', models.DateTimeField(null=True)),
                ('rate', models.FloatField(null=True)),
                ('facts', models.JSONField(default=dict)),
            ],
            options={
                'verbose_name': 'worker',
                'verbose_name_plural': 'workers',
                'default_permissions': ('view',),
            },
        ),
    ]
