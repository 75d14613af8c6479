"""Batches -> weights.

The Trainer is a chain of classes, each of which knows those above it and none below:

| class               | what it is for                                                                          |
|---------------------|-----------------------------------------------------------------------------------------|
| `Trainer`           | Hugging Face's                                                                          |
| `PushingTrainer`    | what is pushed to the Hub, from a copy, with a card; a push that fails costs no run     |
| `SavingTrainer`     | checkpoints that are complete or ignored; where a run ends, and how it goes on          |
| `BatchingTrainer`   | which rows make a batch, in which order, and what of them goes to the model             |
| `EvaluatingTrainer` | exact losses of a split, every task's metrics, calibration                              |
| `MultiTaskTrainer`  | losses and gradients of an effective batch, rates by depth, balancing, logs             |

A method that several of them override, as `_inner_training_loop`, is passed up the chain by each: what a class does
around a run is done outside of what those above it do.
"""
