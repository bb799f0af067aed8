using Iced.Intel;

namespace Nibble.Core.Kernels.Generated;

internal static class AssembledCode
{
    /// <summary>The machine code of what was assembled; it may lie at any address.</summary>
    public static byte[] ToBytes(this Assembler assembler)
    {
        using var stream = new MemoryStream();
        assembler.Assemble(new StreamCodeWriter(stream), 0);
        return stream.ToArray();
    }
}
