using System.Globalization;
using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Core.Threading;
using Nibble.Quantization.Calibration;

namespace Nibble.Quantization.Methods;

/// <summary>A way to choose the bits of a matrix that looks at what its inputs are like.</summary>
public abstract class CalibratedMethod
{
    /// <summary>Every calibrated method. Adding one is a file in this folder and a line here.</summary>
    public static IReadOnlyList<CalibratedMethod> All { get; } = [new Gptq(), Gptq.WithScales, new ImportanceRounding(), new Awq(), new SignRound(), new SmoothQuant()];

    /// <summary>The name on the command line (<c>--method</c>).</summary>
    public abstract string Name { get; }

    /// <summary>Whether it asks how far the inputs have drifted from the original model's, which takes a second forward pass.</summary>
    public virtual bool SeesDrift => false;

    /// <summary>Whether it wants the factor of the moments (<see cref="ErrorFeedback"/>), which is as large as they are.</summary>
    public virtual bool HasFeedback => false;

    /// <summary>Whether it moves scales and minimums by themselves, where a format says which they are (<see cref="Format.BlockParameters"/>).</summary>
    public virtual bool TunesScales => false;

    /// <summary>Whether it scales columns of inputs, and folds the scales into what comes before: see <see cref="ChooseScales"/>.</summary>
    public virtual bool Folds => false;

    /// <summary>What the columns of the weights that read an input shall be multiplied by, before anything is quantized.</summary>
    /// <param name="readers">All weights that read it, and the format of each.</param>
    /// <param name="moments">Of the input.</param>
    /// <param name="pool">The workers that share the search.</param>
    /// <returns>One a column, above zero.</returns>
    public virtual float[] ChooseScales(IReadOnlyList<(Weight Weight, Format Format)> readers, InputMoments moments, WorkerPool pool) =>
        throw new NotSupportedException($"{Name} scales no inputs.");

    /// <summary>Quantizes a matrix.</summary>
    /// <param name="source">[rows, columns].</param>
    /// <param name="target">As large, in the format to fill.</param>
    /// <param name="moments">Of the inputs that the matrix will see.</param>
    /// <param name="drift">Of the output from the original model's, where it is known; it may be changed.</param>
    /// <param name="pool">The workers that share the rows.</param>
    /// <returns>What a person should know of it, or null.</returns>
    public abstract string? Quantize(Weight source, Weight target, InputMoments moments, OutputDrift? drift, WorkerPool pool);

    /// <summary>The method of this name; <c>smoothquant</c> may have its own strength after a colon: <c>smoothquant:0.7</c>.</summary>
    /// <exception cref="UnusableInputException">No method has the name, or the strength is none.</exception>
    public static CalibratedMethod Parse(string name) =>
        All.FirstOrDefault(m => m.Name.Equals(name, StringComparison.OrdinalIgnoreCase))
        ?? (name.Split(':') is [var word, var number] && word.Equals("smoothquant", StringComparison.OrdinalIgnoreCase) ? new SmoothQuant(Strength(name, number)) : null)
        ?? throw new UnusableInputException($"there is no method '{name}'; the methods are nearest, {Hqq.Word}, {string.Join(", ", All.Select(m => m.Name))}");

    private static double Strength(string name, string number) =>
        double.TryParse(number, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double strength) && strength is >= 0 and <= 1 ? strength
            : throw new UnusableInputException($"method '{name}': the strength must be from 0 to 1, as in smoothquant:0.7");
}
