"""From a trained model to forms that other runtimes execute."""
