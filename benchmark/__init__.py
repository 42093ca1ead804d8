"""Benchmark: from a configuration and folders of data sets to comparison tables (docs/benchmark.md).

In a checkout this package is ``benchmark``; installed it is ``anomalib_cops_benchmark``, so that no package of so
common a name lands among a user's. Imports inside it are therefore relative. It depends on ``anomalib_cops``, never the
reverse.

Its packages follow each other, and each imports only those before it: ``plan``, ``records``, ``measure``, ``run``. The
package ``report`` reads what ``records`` keeps; ``speed`` stands alone.

Words used throughout:

- *matrix*: what a configuration asks for: methods times backbones times transfers times seeds.
- *method*: a model class with options, under the name that tables show. Its role is method, baseline or ablation.
- *transfer*: an auxiliary set, the *source*, and the sets that are tested after training on it, the *targets*.
- *training*: one model with one backbone, trained on one source with one seed.
- *references*: good images of a category of the target that a model is given; *shots* is their number, and a *draw* is
  a seed that chooses them.
- *cell*: one training tested on one target, with one number and draw of references if there are any. Each cell has one
  result file.
- *category*: a part of a data set, such as bottle. Cells are tested category by category.
- *result*: what the file of a cell says. A *record* says how its training went.
- *figure*: the value of a metric, over seeds and draws if there are several.
- *board*: all rows with one backbone and one number of references. A *row* is one method on it, or one method and
  source where several sources serve the same target.
"""
