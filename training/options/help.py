"""Description and epilog of `python -m training.fit --help`."""

from __future__ import annotations

from ..networks import NETWORKS

DESCRIPTION = """\
Train a 1-D convolutional network on a set of series, after proving its gradients.

Without options: prove the gradients of the fully convolutional network of Wang, Yan and Oates (2017) to 1e-11 against
a NumPy definition, then train it on GunPoint, 50 series of real motion capture, and test it on 150 others."""

NETWORK_LINES = "\n  ".join(f"{name:<14} {kind.description}" for name, kind in NETWORKS.items())

EPILOG = f"""\
examples:
  python -m training.fit
  python -m training.fit --model two-layer
  python -m training.fit --data series.csv --epochs 100 --out runs/first
  python -m training.fit --data Trace_TRAIN.tsv
  python -m training.fit --data Covid3Month --model resnet --epochs 100
  python -m training.fit --task forecast --model tcn --window 50 --horizon 10
  python -m training.fit --task denoise --noise 0.5
  python -m training.fit --folds 5 --augment jitter=0.03,warp=0.2
  python -m training.fit --seed 1 --overwrite --skip-proof
  python -m training.fit --validation 0.2 --early-stopping 50 --label-smoothing 0.1 --optimizer adamw --ema 0.99
  python -m training.fit --devices 4 --batch-size 32
  python -m training.fit --processes 2 --process-id 0 --coordinator 10.0.0.1:4321
  python -m training.fit --model some.keras --data series.csv --epochs 20
  python -m training.fit --model some.keras --data series.csv --optimizer adamw --loss cross-entropy

data files:
  .tsv, .csv   a row for each series, the label first, then the samples; there may be a header row, and with it an index
               column. X_TEST.tsv is the test set of X_TRAIN.tsv in the same folder.
  .npz         x_train (n, length) or (n, length, channels), y_train (n,), or (n, length) with the class of each
               sample; x_test and y_test, or neither. --channels first reads (n, channels, length).
  .npy         these arrays in separate files of one folder: X_x_train.npy, X_y_train.npy and so on.
  .ts, .arff   as aeon reads them, likewise X_TRAIN with X_TEST.
  NAME         a set of the UCR and UEA archives, from aeon's package or downloaded once.
  Labels of text or whole numbers are classes. Numbers with fractions are the targets of a regression, and with
  --task regression whole numbers are too. Targets are standardized by the training set.
  Series may differ in length: shorter rows, or NaN at the end. No other sample may be missing. Each channel is
  standardized by the training set.

tasks:
  classification the class of each series
  regression     the number that labels each series
  forecast       the next --horizon samples of --target-channel from --window samples of all channels
  denoise        each series from the same series with noise added
  segment        the class of each sample
  Forecasting and denoising do not use labels. unet denoises and segments, two-layer only forecasts; all other networks
  classify, regress and forecast.

models:
  {NETWORK_LINES}
  FILE           a network that Keras saved, .keras or .h5. Training continues from its weights, with the penalties
                 and constraints of its layers and, if it was compiled, with its loss, optimizer and optimizer state;
                 --optimizer and --loss replace them. Its inputs are standardized series of the data's
                 length and channels. Its output is a number for each class, one number for a regression, (1, 16)
                 for a forecast, or what --task requires.

the run folder:
  report.html, which shows everything; config.json, gradients.json (the proof), metrics.csv (a line for each epoch),
  results.json, params.npz, and pictures; for a network from a file model.keras, for Keras;
  checkpoints/, the last two and the best. python -m training.compare RUN RUN ... compares runs;
  python -m training.sweep trains one for each cell of a grid of options.
  Ctrl-C or SIGTERM stops after the epoch and saves the results; another Ctrl-C stops immediately. The same command
  with --resume continues from the newest checkpoint, with the same results as if the run had never stopped.

exit codes: 0 done, 1 gradients not proved or training diverged, 2 an error in an option or a file, or a folder that
cannot be written to, 130 stopped by Ctrl-C, 143 by SIGTERM."""
