"""Started by test_distributed.py in real processes: which rows each step of training takes, written as JSON."""

import json
from pathlib import Path

from conftest import make_tokenizer, tiny_bert
from datasets import Dataset
from test_trainer import rows

from hf_multitask import MultiTaskCollator, MultiTaskTrainer, MultiTaskTrainingArguments
from hf_multitask.data.tokenization import tokenize


class Recorder:
    """A collator that remembers the labelled rows of each micro-batch: a filler has no targets."""

    def __init__(self, collate):
        self.collate, self.batches = collate, []

    def __call__(self, batch):
        labelled = [row["row"] for row in batch if any(target is not None for target in row["targets"].values())]
        self.batches.append(labelled)
        return self.collate(batch)


def main(folder: str, per_device: str, accumulation: str, resume: str) -> None:
    """Two epochs over 23 rows of two datasets."""
    tokenizer, model = make_tokenizer(), tiny_bert()
    data = [row | {"row": str(index)} for index, row in enumerate(rows(23, topic_every=1))]
    parts = {"first": data[:16], "second": data[16:]}
    args = MultiTaskTrainingArguments(
        output_dir=str(Path(folder) / "output"),
        per_device_train_batch_size=int(per_device),
        gradient_accumulation_steps=int(accumulation),
        num_train_epochs=2,
        train_sampling_strategy="group_by_length",
        save_strategy="steps",
        save_steps=2,
        disable_tqdm=True,
        use_cpu=True,
        seed=3,
    )
    recorder = Recorder(MultiTaskCollator(tokenizer, model.config.tasks))
    datasets = {name: tokenize(Dataset.from_list(part), tokenizer, 32) for name, part in parts.items()}
    trainer = MultiTaskTrainer(model, args, train_dataset=datasets, data_collator=recorder, processing_class=tokenizer)
    trainer.train(resume_from_checkpoint=resume or None)
    (Path(folder) / f"rows-{args.process_index}.json").write_text(json.dumps(recorder.batches))
    trainer.end()
