"""What a run says on the terminal before training."""

from .data_tables import label_table, mixing_table, number_table, size_table
from .run_record import RunRecord


def describe_data(record: RunRecord) -> str:
    """The number of tasks, the rows per dataset and split, the labels and numbers to learn, and the mixing.

    And how the tasks of an earlier model are kept, if there is one.
    """
    parts = [
        f"{len(record.tasks)} tasks on one {record.base_model}, pooled by {record.pooling}",
        size_table(record),
        label_table(record),
        number_table(record),
    ]
    if record.mixing:
        parts += [f"Mixing: {record.mixing}", mixing_table(record)]
    if record.retention:
        parts.append(f"How tasks of the earlier model are kept (retain): {record.retention}")
    if record.skipped_rows:
        parts.append(f"Left out: {record.skipped_rows:,} rows that cannot be used")
    return "\n\n".join(part for part in parts if part)
