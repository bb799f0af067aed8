using System.Runtime.InteropServices;
using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Threading;
using Nibble.Files;
using Nibble.Files.Gguf;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Quantization.Recipes;

namespace Nibble.Quantization.Calibration;

/// <summary>
/// The second moments of all that the linear layers of a model read, in a GGUF file. Of each input: <c>NAME.moments</c>, the rows of
/// the sums from the diagonal on, one after the other; <c>NAME.largest</c>, the number of largest magnitude in each column;
/// <c>NAME.tokens</c>, how many were added, as two numbers of 24 bits, which single precision holds exactly.
/// </summary>
public sealed unsafe class MomentsFile : IDisposable
{
    private const string Type = "second moments", SumsEnd = ".moments", LargestEnd = ".largest", TokensEnd = ".tokens";
    private const int HalfCount = 1 << 24;

    /// <summary>By how much sums in single precision may miss the bound that exact ones keep.</summary>
    private const double Slack = 1.001;

    /// <summary>By how much the largest number of a column may be above the bound, for the sums are of inputs rounded to bfloat16.</summary>
    private const double RoundingSlack = 1 + 1.0 / 128;

    private readonly GgufFile _file;
    private readonly long _tokens;

    /// <param name="key">What it must have been measured on.</param>
    /// <exception cref="UnusableInputException">It was measured on something else, or it is no such file.</exception>
    public MomentsFile(string path, StatisticsKey key)
    {
        _file = new GgufFile(path);
        try
        {
            key.Check(_file.Metadata, Type);
        }
        catch
        {
            _file.Dispose();
            throw;
        }
        _tokens = (long)key.Chunks * key.Context;
    }

    public string Path => _file.Path;

    /// <summary>Inputs whose moments were taken from it.</summary>
    public int Taken { get; private set; }

    /// <summary>Takes the texts through the model, and writes what its linear layers read. Goes on where a run like it was stopped.</summary>
    /// <param name="texts">Token ids that the key was made of.</param>
    /// <param name="progress">Told the layers that are done.</param>
    /// <returns>Inputs that were measured.</returns>
    internal static int Measure(
        string path, StatisticsKey key, ModelSource source, IReadOnlyList<int[]> texts, WorkerPool pool, Action<int> progress, CancellationToken cancellation)
    {
        using var inputs = new OriginalInputs(source, texts, pool);
        Linear[][] layers = [.. Enumerable.Range(0, inputs.LayerCount).Select(layer => InputsOf(inputs.LinearsOf(layer)))];
        using var writer = new GgufWriter(path, key.Describe(path, Type), [.. layers.SelectMany(l => l).SelectMany(Tensors)], resume: true);
        try
        {
            int measured = 0, first = 0;
            for (int layer = 0; layer < layers.Length; layer++)
            {
                int after = first + 3 * layers[layer].Length;
                MomentsProbe? probe = after > writer.Finished ? new MomentsProbe([.. inputs.LinearsOf(layer)], null, pool) : null;
                inputs.PassAll(layer, probe, cancellation);
                if (probe is not null) measured += layers[layer].Length;
                foreach (Linear linear in layers[layer])
                {
                    if (probe is not null) Write(writer, first, probe.Of(linear) ?? new InputMoments(linear.Weight.Columns));
                    first += 3;
                }
                progress(layer + 1);
            }
            writer.Commit();
            return measured;
        }
        catch
        {
            writer.Keep();
            throw;
        }
    }

    /// <summary>Of each input of a layer, the linear layer that reads it first.</summary>
    private static Linear[] InputsOf(IEnumerable<Linear> linears) => [.. linears.DistinctBy(l => l.InputName)];

    private static IEnumerable<TensorInfo> Tensors(Linear linear)
    {
        string name = linear.InputName;
        long columns = linear.Weight.Columns;
        yield return TensorInfo.Of(name + SumsEnd, FloatFormat.F32, [columns * (columns + 1) / 2]);
        yield return TensorInfo.Of(name + LargestEnd, FloatFormat.F32, [columns]);
        yield return TensorInfo.Of(name + TokensEnd, FloatFormat.F32, [2]);
    }

    /// <summary>Writes those of the three tensors from the given one on that a stopped run did not.</summary>
    private static void Write(GgufWriter writer, int first, InputMoments moments)
    {
        if (writer.Finished <= first)
            for (int r = 0; r < moments.Columns; r++) writer.Write(MemoryMarshal.AsBytes(moments.Upper(r)));
        if (writer.Finished == first + 1) writer.Write(MemoryMarshal.AsBytes(moments.Largest));
        if (writer.Finished == first + 2) writer.Write(MemoryMarshal.AsBytes<float>([moments.Tokens / HalfCount, moments.Tokens % HalfCount]));
    }

    /// <summary>The moments of what a linear layer reads, or null if no token reached it.</summary>
    /// <exception cref="UnusableInputException">The file has none of this size, or they are the moments of nothing.</exception>
    internal InputMoments? Read(Linear linear)
    {
        string name = linear.InputName;
        int columns = linear.Weight.Columns;
        float* sums = Numbers(name + SumsEnd, columns * (columns + 1L) / 2), largest = Numbers(name + LargestEnd, columns), halves = Numbers(name + TokensEnd, 2);
        bool isExpert = MatrixName.IsExpert(name);
        double count = halves[0] * (double)HalfCount + halves[1];
        if (!(count >= (isExpert ? 0 : 1) && count <= _tokens && double.IsInteger(count))) throw Wrong(name);
        Taken++;
        if (count == 0) return null;
        var moments = new InputMoments(columns, (long)count, new ReadOnlySpan<float>(largest, columns));
        for (int r = 0; r < columns; sums += columns - r, r++) new ReadOnlySpan<float>(sums, columns - r).CopyTo(moments.Upper(r));
        return IsPossible(moments) ? moments : throw Wrong(name);
    }

    /// <summary>Sums of squares are not below zero, and no product of two columns is above what their squares allow.</summary>
    private static bool IsPossible(InputMoments moments)
    {
        double[] bounds = [.. Enumerable.Range(0, moments.Columns).Select(c => Math.Sqrt(Slack * moments[c, c]))];
        for (int r = 0; r < bounds.Length; r++)
        {
            ReadOnlySpan<float> row = moments.Upper(r);
            for (int i = 0; i < row.Length; i++)
                if (!(float.IsFinite(row[i]) && Math.Abs(row[i]) <= bounds[r] * bounds[r + i] + float.Epsilon)) return false;
            if (!(Math.Abs(moments.Largest[r]) <= bounds[r] * RoundingSlack)) return false;
        }
        return true;
    }

    private float* Numbers(string tensor, long count)
    {
        TensorInfo found = _file.Get(tensor);
        if (found.Type != "F32" || found.Elements != count)
            throw new UnusableInputException($"{Path}: tensor {Quote.Name(tensor)} has {found.Elements} numbers of type {found.Type} where the model needs {count} of F32; delete the file, and it is measured again");
        return (float*)_file.Data(found);
    }

    private UnusableInputException Wrong(string name) =>
        new($"{Path}: the moments of {Quote.Name(name)} are those of no inputs; delete the file, and they are measured again");

    public void Dispose() => _file.Dispose();
}
