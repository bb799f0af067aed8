using Nibble.Core;
using Nibble.Core.Memory;
using Nibble.Core.Threading;
using Nibble.Quantization.Calibration;

namespace Nibble.Quantization.Methods;

/// <summary>A way to choose the bits of a matrix that looks at what its inputs are like.</summary>
public abstract class CalibratedMethod
{
    /// <summary>Every calibrated method. Adding one is a file in this folder and a line here.</summary>
    public static IReadOnlyList<CalibratedMethod> All { get; } = [new Gptq(), new ImportanceRounding()];

    /// <summary>The name on the command line (<c>--method</c>).</summary>
    public abstract string Name { get; }

    /// <summary>Whether it asks how far the inputs have drifted from the original model's, which takes a second forward pass.</summary>
    public virtual bool SeesDrift => false;

    /// <summary>Quantizes a matrix.</summary>
    /// <param name="source">[rows, columns].</param>
    /// <param name="target">As large, in the format to fill.</param>
    /// <param name="moments">Of the inputs that the matrix will see.</param>
    /// <param name="drift">Of those inputs from the original model's, where it is known.</param>
    /// <param name="pool">The workers that share the rows.</param>
    /// <returns>What a person should know of it, or null.</returns>
    public abstract string? Quantize(Weight source, Weight target, InputMoments moments, InputDrift? drift, WorkerPool pool);

    /// <exception cref="UnusableInputException">No method has the name.</exception>
    public static CalibratedMethod Parse(string name) =>
        All.FirstOrDefault(m => m.Name.Equals(name, StringComparison.OrdinalIgnoreCase))
        ?? throw new UnusableInputException($"there is no method '{name}'; the methods are nearest, {string.Join(", ", All.Select(m => m.Name))}");
}
