"""Date formats for operators: sortable, with seconds."""

DATETIME_FORMAT = "Y-m-d H:i:s"
SHORT_DATETIME_FORMAT = "m-d H:i:s"

#: Django's formats for Chinese do not group digits.
THOUSAND_SEPARATOR = ","
NUMBER_GROUPING = 3
