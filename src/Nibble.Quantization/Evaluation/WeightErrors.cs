using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Quantization.Evaluation;

/// <summary>Compares the weights of a tensor with those it was made from.</summary>
public static class WeightErrors
{
    /// <summary>What became of a tensor's weights; its codes are counted as <see cref="TensorError.Stride"/> says.</summary>
    public static TensorError Measure(TensorPair pair, WorkerPool pool)
    {
        TensorError? all = null;
        int stride = TensorError.Stride((long)pair.Rows * pair.Experts, pair.Columns);
        for (int e = 0; e < pair.Experts; e++)
        {
            Weight model = pair.Model(e), reference = pair.Reference(e);
            TensorError[] errors = [.. Enumerable.Range(0, pool.Workers).Select(_ => new TensorError(model.Format))];
            var job = new Job { Pair = pair, Model = model, Reference = reference, Stride = stride, Errors = errors };
            pool.Run(ref job);
            foreach (TensorError error in errors)
                if (all is null) all = error;
                else all.Merge(error);
        }
        return all!;
    }

    private struct Job : IParallelJob
    {
        public TensorPair Pair;
        public Weight Model, Reference;
        public int Stride;
        public TensorError[] Errors;

        public readonly void Run(int worker, int workers)
        {
            float[] original = new float[Model.Columns], rounded = new float[Model.Columns];
            (int from, int to) = ParallelRows.Share(Model.Rows, worker, workers);
            for (int r = from; r < to; r++)
            {
                Reference.ReadRow(Pair.ReferenceRow(r), original);
                Model.ReadRow(r, rounded);
                Errors[worker].Add(original, Model.Row(r), rounded, countCodes: r % Stride == 0);
            }
        }
    }
}
