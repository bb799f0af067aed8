using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Threading;
using Nibble.Files;
using Nibble.Files.Gguf;
using Nibble.Quantization.Recipes;

namespace Nibble.Quantization.Rotation;

/// <summary>
/// A model with its residual stream rotated (<see cref="ResidualRotation"/>), as a file of float32 beside an output: methods
/// that calibrate run it layer by layer, as they would any model. Disposed, it is deleted.
/// </summary>
public sealed class RotatedModel : IDisposable
{
    private readonly string _folder;

    private RotatedModel(string folder, string path, IReadOnlyList<string> origin) => (_folder, Path, Origin) = (folder, path, origin);

    /// <summary>A Hugging Face folder or a GGUF file, as the original is, and of its name.</summary>
    public string Path { get; }

    /// <summary>The original's files of weights.</summary>
    public IReadOnlyList<string> Origin { get; }

    /// <summary>Rotates a model.</summary>
    /// <param name="path">The original.</param>
    /// <param name="output">What will be made of it; the rotated model lies in a folder of that name and <c>.rotated</c>.</param>
    /// <param name="allowRequantize">Whether it may be quantized already.</param>
    /// <param name="progress">Told the stored bytes that were read so far, and of how many.</param>
    /// <exception cref="UnusableInputException">It cannot be rotated, or the file cannot be written.</exception>
    public static RotatedModel Make(string path, string output, bool allowRequantize, WorkerPool pool, Action<long, long> progress, CancellationToken cancellation)
    {
        string folder = System.IO.Path.TrimEndingDirectorySeparator(output) + ".rotated";
        string to = System.IO.Path.Combine(folder, System.IO.Path.GetFileName(System.IO.Path.TrimEndingDirectorySeparator(System.IO.Path.GetFullPath(path))));
        using (TensorFile file = TensorFile.Open(path)) to = Directory.Exists(path) ? to : System.IO.Path.ChangeExtension(to, file is GgufFile ? ".gguf" : null);
        CheckFree(folder, to);
        using var source = QuantizationSource.Rotated(path, to);
        var model = new RotatedModel(folder, to, source.Files);
        try
        {
            Directory.CreateDirectory(folder);
            var quantizer = new ModelQuantizer(source, pool);
            QuantizationPlan plan = quantizer.Plan(Recipe.Parse("F32"), new PlanOptions { Pure = true }, allowRequantize);
            long all = quantizer.StoredBytesOfAll;
            quantizer.Write(to, plan, new QuantizeOptions { Force = true, Progress = read => progress(read, all) }, cancellation);
            return model;
        }
        catch (Exception e)
        {
            model.Dispose();
            if (e is IOException or UnauthorizedAccessException) throw new UnusableInputException($"{folder}: cannot be written: {e.Message}", e);
            throw;
        }
    }

    /// <summary>What a killed run left is written anew; all else is somebody's.</summary>
    private static void CheckFree(string folder, string to)
    {
        if (File.Exists(folder) || (Directory.Exists(folder) && Directory.EnumerateFileSystemEntries(folder).Any(e => e != to && e != to + ".partial")))
            throw new UnusableInputException($"{folder}: is where the rotated model shall lie while it is needed, and holds something else; move that, or name another output");
    }

    public void Dispose()
    {
        if (Directory.Exists(_folder)) Directory.Delete(_folder, recursive: true);
    }
}
