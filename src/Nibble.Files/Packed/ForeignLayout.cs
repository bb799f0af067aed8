namespace Nibble.Files.Packed;

/// <summary>
/// A layout of packed weights that another program writes. It is known here only: a weight becomes one of our formats when
/// it is loaded, and nothing behind this door knows where it came from.
/// </summary>
internal abstract class ForeignLayout
{
    /// <summary>Every layout. Adding one is a file in this folder and a line here.</summary>
    public static IReadOnlyList<ForeignLayout> All { get; } =
    [
        new GptqLayout(),
        new AwqLayout(),
        new CompressedTensorsLayout(),
        new BitsAndBytesLayout(),
        new Float8Layout(),
        new Mxfp4Layout(),
    ];

    /// <summary>The values of <c>quant_method</c>.</summary>
    public abstract IReadOnlyList<string> Methods { get; }

    /// <summary>Finds the packed weights of a checkpoint and checks the shapes of their parts.</summary>
    public abstract void Find(ForeignParts parts, QuantizationConfig config);
}
